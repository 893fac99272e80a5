"""The measured servers: their requirements and their requests."""

import base64, contextlib, dataclasses, http.client, json, os, re, shutil, signal, socket, subprocess, time
from pathlib import Path

BENCH = Path(__file__).resolve().parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", BENCH.parent / "target"))
NODE, FLASK = BENCH / "peers/node", BENCH / "peers/flask"
# Data is stored in memory, so that the disk has no effect.
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None
# The numbers of clients that sign in, and of tokens that are sent in turn, and the seconds before each measurement.
SIGNING_IN, USED_TOKENS, WARM_UP = 16, 1_000, 1
PASSWORD = "correct horse"
# The hash of this password with the default parameters.
HASH = "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$rk2Mi3E4dgRMg0fHaYaptWVZRKqs//6b6k3/nntqGJk"
CHEAP = {"SYMBOLON_ARGON2_MEMORY": "8", "SYMBOLON_ARGON2_ITERATIONS": "1"}
SETTINGS = {
    # All attempts come from one address.
    "SYMBOLON_THROTTLE": "off",
    # One address can use only a part of the hash queue.
    "SYMBOLON_TRUSTED_PROXIES": "127.0.0.1",
    # Every user must be allowed to query the list.
    "SYMBOLON_USER_LIST": "members",
    # Databases are copied, and PostgreSQL has no folder for a key.
    "SYMBOLON_SECRET_KEY": base64.b64encode(b"a key for benchmarks, not secret").decode(),
}


def run(*command, **options):
    return subprocess.run(command, check=True, **options)


def install(packages):
    """Installs missing Debian packages. `packages` maps a program to its package."""
    missing = [package for program, package in packages.items() if not shutil.which(program)]
    if missing:
        sudo = [] if os.getuid() == 0 else ["sudo"]
        run(*sudo, "apt-get", "update")
        run(*sudo, "apt-get", "install", "--yes", "--no-install-recommends", *missing)


def install_peers():
    def installed(folder, wanted):
        stamp = folder / "installed"
        return stamp, stamp.exists() and stamp.read_bytes() == wanted.read_bytes()

    stamp, there = installed(FLASK / "venv", FLASK / "requirements.txt")
    if not there:
        # Debian has a separate package for the part of Python that creates virtual environments.
        if subprocess.run(["python3", "-c", "import ensurepip"], stderr=subprocess.DEVNULL).returncode:
            install({"": "python3-venv"})
        run("python3", "-m", "venv", FLASK / "venv")
        run(FLASK / "venv/bin/pip", "install", "--quiet", "--requirement", FLASK / "requirements.txt")
        shutil.copy(FLASK / "requirements.txt", stamp)
    stamp, there = installed(NODE / "node_modules", NODE / "package-lock.json")
    if not there:
        run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=NODE)
        # Only this package must be built.
        run("npm", "rebuild", "better-sqlite3", cwd=NODE)
        shutil.copy(NODE / "package-lock.json", stamp)


def build(*options, product=(), programs=()):
    """Builds the product and the programs of this folder with identical options."""
    command = ["cargo", "build", "--target-dir", TARGET, *options]
    run(*command, "--bin", "symbolon", *product, cwd=BENCH.parent)
    run(*command, *programs, cwd=BENCH)


def raw(method, path, body=b"", authorization=None):
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    if authorization:
        head += f"Authorization: {authorization}\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def graphql(document, authorizations, **variables):
    body = {"query": document, "variables": variables} if variables else {"query": document}
    return [raw("POST", "/graphql", json.dumps(body).encode(), one) for one in authorizations]


def behind_proxy(requests):
    """Returns the requests as a trusted proxy on this machine sends them for clients with different addresses."""
    field = "\r\nX-Forwarded-For: 10.0.{}.{}\r\n"
    return [one.replace(b"\r\n", field.format(*divmod(number, 256)).encode(), 1) for number, one in enumerate(requests)]


def bearer(tokens):
    return [f"Bearer {token}" for token in tokens]


def basic(numbers):
    return ["Basic " + base64.b64encode(f"user{number}:{PASSWORD}".encode()).decode() for number in numbers]


def ask(connection, request):
    """Sends a request and returns the body of the response."""
    connection.sendall(request)
    return answer(connection, request)


def answer(connection, request, refused=False):
    """Returns the body of the response. Raises an error if the response contains errors, or if a refused request is
    answered without errors."""
    with http.client.HTTPResponse(connection) as response:
        response.begin()
        body = response.read()
    if response.status != 200 or (b'"errors"' in body) != refused:
        raise RuntimeError(f"{request} was answered with {response.status} {body}")
    return body


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclasses.dataclass
class Peer:
    """A server that can be started. `{port}` in the command is replaced with its port."""

    name: str
    command: list
    requests: dict
    environment: dict = dataclasses.field(default_factory=dict)
    folder: Path = BENCH
    # The core of its processes; None for all cores.
    core: int | None = 0

    def on(self, core):
        return dataclasses.replace(self, core=core)

    def with_(self, **environment):
        return dataclasses.replace(self, environment=self.environment | environment)

    @contextlib.contextmanager
    def started(self, under=()):
        """Starts the server in a new process group, and stops it at the end."""
        port = str(free_port())
        pin = [] if self.core is None else ["taskset", "-c", str(self.core)]
        command = [*pin, *under, *(str(part).replace("{port}", port) for part in self.command)]
        environment = {"PATH": os.environ["PATH"], "PORT": port, **self.environment}
        with open(os.devnull if MEMORY is None else f"{MEMORY}/symbolon-bench-{port}.log", "ab") as log:
            start = time.perf_counter()
            # The server must be in the session of the load generator. Linux gives each session an equal share of
            # a processor, and the nice value only has an effect within a session.
            process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=log, stderr=log, process_group=0
            )
            try:
                server = Server(self, process, int(port), log.name)
                server.wait(start)
                yield server
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
                process.wait()
                if MEMORY:
                    os.remove(log.name)


class Server:
    def __init__(self, peer, process, port, log):
        self.peer, self.process, self.port, self.log = peer, process, port, log

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def ask(self, request):
        with self.connect() as connection:
            return ask(connection, request)

    def wait(self, start):
        """Waits for the first response. Sets `self.cold` to the seconds since the start."""
        first = next(iter(self.peer.requests.values()))[0]
        while True:
            try:
                self.ask(first)
                break
            except OSError:
                if self.process.poll() is not None or time.perf_counter() > start + 120:
                    raise SystemExit(f"{self.peer.name} does not start: {Path(self.log).read_text()}")
                time.sleep(0.001)
        self.cold = time.perf_counter() - start

    def processes(self):
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                # The fields after the command name, which is in parentheses.
                fields = stat.read_text().rpartition(")")[2].split()
                if int(fields[2]) == self.process.pid:
                    yield stat.parent, fields

    def cpu_seconds(self):
        ticks = sum(int(fields[11]) + int(fields[12]) for _, fields in self.processes())
        return ticks / os.sysconf("SC_CLK_TCK")

    def rest(self):
        """Waits until the server is idle. Sign-ins continue after their client has disconnected."""
        before, deadline = None, time.perf_counter() + 60
        while (now := self.cpu_seconds()) != before and time.perf_counter() < deadline:
            before = now
            time.sleep(0.1)

    def memory(self, what):
        """Returns the current memory (VmRSS) or the peak memory (VmHWM) in MiB."""
        return sum(
            int(re.search(rf"{what}:\s*(\d+)", (folder / "status").read_text())[1]) / 1024
            for folder, _ in self.processes()
        )

    def forget_log(self):
        if MEMORY:
            os.truncate(self.log, 0)


def symbolon(url, requests, profile="dist", **environment):
    return Peer("Symbolon", [TARGET / profile / "symbolon"], requests, {"DATABASE_URL": url, **SETTINGS, **environment})
