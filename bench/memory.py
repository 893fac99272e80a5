"""Measures the memory of many idle connections, and of many cached identities."""

import contextlib, os, re, resource, socket, time, urllib.request

import data, servers
from load import Load, progress
from servers import bearer, graphql

CONNECTIONS = 10_000
# One address can use at most a quarter of all connections.
ADDRESSES = 8
IDENTITIES = 1_000_000


def raise_file_limit():
    """Raises the limit on open files, which the servers inherit."""
    wanted = CONNECTIONS + 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
        except ValueError:
            raise SystemExit(f"the limit on open files (ulimit -Hn) is {hard}; at least {wanted} is required")


def idle_connections(peer):
    """Returns the memory in MiB with idle connections, each of which has sent a request."""
    request = peer.requests["me"][0]
    with peer.on(None).with_(SYMBOLON_MAX_CONNECTIONS=str(2 * CONNECTIONS)).started() as server, contextlib.ExitStack() as stack:
        connections = []
        for number in range(CONNECTIONS):
            # Each source address also has its own ports.
            source = (f"127.0.1.{1 + number % ADDRESSES}", 0)
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=60, source_address=source)
            connections.append(stack.enter_context(connection))
            servers.ask(connection, request)
        time.sleep(1)
        memory = server.memory("VmRSS")
        # All connections were open.
        for connection in connections:
            servers.ask(connection, request)
        return memory


def cached_identities(folder):
    """Returns the memory in MiB with cached identities."""
    progress(f"making {IDENTITIES:,} tokens")
    database = data.Sqlite(folder / "identities.db")
    data.accounts(database, IDENTITIES + 1)
    port = servers.free_port()
    me = graphql("{ me { id username } }", ["Bearer %032d"])
    peer = servers.symbolon(
        database.url, {"probe": graphql("{ __typename }", [None])}, SYMBOLON_IDENTITY_CACHE="1024", SYMBOLON_METRICS_PORT=str(port)
    )

    def hits():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as response:
            return int(re.search(r"^symbolon_identity_cache_hits_total (\d+)", response.read().decode(), re.MULTILINE)[1])

    with peer.on(None).started() as server:
        used = 0
        while used < IDENTITIES:
            # Numbers above the last user are unknown tokens, and are not cached.
            used += Load(server, me, 64, 5, 2 + used, 1).answered()[0]
            progress(f"{min(used, IDENTITIES):,} tokens used")
            server.forget_log()
        server.rest()
        # The server frees the memory in which it collected the last uses of the tokens.
        time.sleep(30)
        memory = server.memory("VmRSS")
        before = hits()
        again, _ = Load(server, me, 64, 1, 2, IDENTITIES // 1000).answered()
        if hits() - before < min(again, 1000):
            raise SystemExit("not all identities were cached")
    os.remove(database.path)
    return memory
