"""Sends requests to the measured servers with wrk."""

import collections, datetime, os, re, statistics, subprocess, sys, tempfile

import servers
from servers import BENCH

# Requests per second, processor time of each in microseconds, and the share of its core that the server got.
Measurement = collections.namedtuple("Measurement", "rate cpu share")


def progress(*what):
    print(f"{datetime.datetime.now():%H:%M:%S}", *what, file=sys.stderr, flush=True)


def figure(number):
    return f"{number:,.{0 if number >= 1000 else 1 if number >= 10 else 2}f}"


def interleaved(rounds, jobs):
    """Returns the results of each job in each round. Every second round runs backwards, so that a gradual slowdown
    does not always affect the same job."""
    results = {name: [] for name in jobs}
    for number in range(rounds):
        for name in list(jobs)[:: -1 if number % 2 else 1]:
            results[name].append(jobs[name]())
            progress(*name if isinstance(name, tuple) else [name], results[name][-1])
    return results


class Load:
    """A running load generator, on another core than the server if the server is pinned to one. `numbers` are the
    arguments of load.lua after the file."""

    def __init__(self, server, requests, clients, seconds, *numbers):
        self.file = tempfile.NamedTemporaryFile(dir=servers.MEMORY)
        self.file.write(b"\0".join(requests))
        self.file.flush()
        pin = [] if server.peer.core is None else ["taskset", "-c", "1"]
        command = [*pin, "wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "60s", "-s", BENCH / "load.lua"]
        command += [f"http://127.0.0.1:{server.port}", "--", self.file.name, *map(str, numbers)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def answered(self, refused=False):
        """Waits until the end. Returns the number of answered requests, and the number per second."""
        output, _ = self.process.communicate()
        self.file.close()
        if self.process.returncode or not refused and ("Non-2xx" in output or "Socket errors" in output):
            raise SystemExit(output)
        return int(re.search(r"(\d+) requests in", output)[1]), float(re.search(r"Requests/sec:\s*([\d.]+)", output)[1])


def load(server, what, clients, seconds):
    server.rest()
    before = server.cpu_seconds()
    count, rate = Load(server, server.peer.requests[what], clients, seconds).answered()
    if count == 0:
        count, rate = 1, 1 / seconds
    each = (server.cpu_seconds() - before) / count
    server.forget_log()
    cores = os.cpu_count() if server.peer.core is None else 1
    return Measurement(rate, each * 1e6, rate * each / cores)


def median(measurements, what):
    return statistics.median(getattr(one, what) for one in measurements)
