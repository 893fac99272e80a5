"""Measures requests that use the database: on SQLite, and on PostgreSQL with one instance of Symbolon and with two."""

import collections, contextlib, os, shutil, statistics, tempfile
from pathlib import Path

import data, postgres, servers
from load import Load, figure, interleaved
from servers import SIGNING_IN, USED_TOKENS, WARM_UP, basic, bearer, graphql

# Even users have tokens, odd users sign in. A measurement revokes fewer than half of the users.
USERS = 200_000
CLIENTS = 64
REVOKE = "mutation { revokeToken }"
KINDS = (("SQLite", 1), ("PostgreSQL", 1), ("PostgreSQL", 2))
# The users who were changed by a kind of request.
WRITTEN = {
    "sign-in": "id > 1 AND id % 2 = 1 AND token_nonce IS NOT NULL",
    "revocation": "id % 2 = 0 AND token_nonce IS NULL",
}
Measurement = collections.namedtuple("Measurement", "rate symbolon postgres")


class SqliteFile:
    """SQLite on the same disk as the data of PostgreSQL."""

    def __init__(self, folder):
        self.folder = folder
        data.accounts(data.Sqlite(folder / "accounts.db"), USERS, 2)

    def copy(self):
        path = self.folder / "copy.db"
        for file in self.folder.glob("copy.db*"):
            file.unlink()
        shutil.copy(self.folder / "accounts.db", path)
        return data.Sqlite(path)

    def cpu_seconds(self):
        """SQLite is part of Symbolon."""
        return 0


class PostgresServer:
    def __init__(self, cluster):
        self.cluster = cluster
        data.accounts(cluster.create("accounts"), USERS, 2)

    def copy(self):
        return self.cluster.create("copy", "accounts")

    def cpu_seconds(self):
        return self.cluster.cpu_seconds()


def measure(source, instances, what, requests, seconds):
    """Measures a new copy of the database. The load is spread evenly over all instances."""
    database = source.copy()
    # Otherwise, the system would write the copy to the disk during the measurement.
    os.sync()
    # The request that is sent at the start does not change anything.
    probe = graphql("{ __typename }", [None]) if what in WRITTEN else requests
    peer = servers.symbolon(database.url, {"probe": probe}, SYMBOLON_IDENTITY_CACHE="0").on(None)
    clients = (SIGNING_IN if what == "sign-in" else CLIENTS) // instances
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(peer.started()) for _ in range(instances)]
        used = 0
        if what not in WRITTEN:
            # The load generator does not see errors in the body of a response.
            for server in running:
                for one in requests[:: len(requests) // 10]:
                    server.ask(one)

        def load(seconds):
            nonlocal used
            for server in running:
                server.rest()
            before = sum(server.cpu_seconds() for server in running), source.cpu_seconds()
            loads = []
            for number, server in enumerate(running):
                # Each instance gets its own users.
                first = 2 + 2 * number + used
                numbers = (first, 2 * instances) if what == "revocation" else ()
                own = requests[number::instances] if what == "sign-in" else requests
                loads.append(Load(server, own, clients, seconds, *numbers))
            counts, rates = zip(*(one.answered() for one in loads))
            after = sum(server.cpu_seconds() for server in running), source.cpu_seconds()
            # The generators send a few requests whose responses they do not read.
            used += 2 * instances * (max(counts) + 2 * clients)
            count = max(1, sum(counts))
            each = [(end - start) / count * 1e6 for start, end in zip(before, after)]
            return counts, Measurement(sum(rates) or 1 / seconds, *each)

        warm_up, _ = load(WARM_UP)
        counts, measurement = load(seconds)
        if what in WRITTEN:
            signing_in = sum(min(count, USED_TOKENS // instances) for count in counts)
            wanted = sum(warm_up) + sum(counts) if what == "revocation" else signing_in
            (_, (written,)) = database.rows(f"SELECT count(*) FROM symbolon_user WHERE {WRITTEN[what]}")
            if int(written) < wanted:
                raise SystemExit(f"{what}: {wanted:,} responses, but {written} changed users")
        return measurement


def section(rounds, seconds, me, users):
    """Returns a section of the result."""
    step = USERS // USED_TOKENS
    tokens = bearer(data.token(number) for number in range(step, USERS + 1, step))
    operations = {
        f"`{me}`, nothing cached": ("me", graphql(me, tokens)),
        f"`{users}`": ("list", graphql(users, tokens)),
        "sign-in": ("sign-in", graphql("mutation { createToken { token } }", basic(range(step // 2 + 1, USERS, step)))),
        "revocation": ("revocation", graphql(REVOKE, ["Bearer %032d"])),
    }
    lines = [
        "| operation | database | instances | per second | times one instance of PostgreSQL | processor µs, Symbolon | PostgreSQL |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    with contextlib.ExitStack() as stack:
        sqlite_folder, postgres_folder = (Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/var/tmp"))) for _ in range(2))
        cluster = stack.enter_context(postgres.Cluster(postgres_folder).started())
        sources = {"SQLite": SqliteFile(sqlite_folder), "PostgreSQL": PostgresServer(cluster)}
        for title, (what, requests) in operations.items():
            results = interleaved(rounds, {
                kind: lambda kind=kind: measure(sources[kind[0]], kind[1], what, requests, seconds) for kind in KINDS
            })
            for (database, instances), own in results.items():
                rate, symbolon, server = (statistics.median(values) for values in zip(*own))
                times = statistics.median(one.rate / base.rate for one, base in zip(own, results["PostgreSQL", 1]))
                shown = figure(server) if database == "PostgreSQL" else ""
                lines.append(f"| {title} | {database} | {instances} | {figure(rate)} | {times:.2f} | {figure(symbolon)} | {shown} |")
    return [
        "## SQLite and PostgreSQL, with one instance and with two", "",
        f"{USERS:,} users, {CLIENTS} connections ({SIGNING_IN} for sign-ins), no identity cache, data on a disk, `fsync` on. "
        f"The instances, PostgreSQL and the load generators share {os.cpu_count()} cores, so that a second instance can "
        "be slower. Each request revokes another token. Each measurement uses a new copy of the database.",
        "", *lines, "",
    ]
