"""A PostgreSQL server with its own data."""

import contextlib, csv, glob, os, re, shutil, signal, subprocess, tempfile, time
from pathlib import Path

import servers

DIGEST = "SELECT sha256(convert_to(lpad(number::text, 32, '0'), 'UTF8'))"


def install():
    """Installs Debian's package postgresql, without a server of the machine."""
    if not glob.glob("/usr/lib/postgresql/*/bin/initdb"):
        servers.install({"": "postgresql-common"})
        settings = "/etc/postgresql-common/createcluster.conf"
        sudo = [] if os.getuid() == 0 else ["sudo"]
        servers.run(*sudo, "tee", "-a", settings, input=b"create_main_cluster = false\n", stdout=subprocess.DEVNULL)
        servers.install({"": "postgresql"})


def program(name):
    return max(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), key=lambda path: int(path.split("/")[4]))


class Database:
    def __init__(self, cluster, name):
        self.cluster, self.name = cluster, name
        self.url = f"postgres://symbolon@127.0.0.1:{cluster.port}/{name}"

    def rows(self, statement):
        """Executes SQL statements. Returns the rows of the last, the first of which contains the names of the columns."""
        command = [program("psql"), "-qX", "--csv", "-v", "ON_ERROR_STOP=1", self.url, "-c", statement]
        return list(csv.reader(servers.run(*command, capture_output=True, text=True).stdout.splitlines()))

    def advance(self, table):
        """Continues the ids of a table after the largest id."""
        self.rows(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))")


class Cluster:
    """A server whose data is on a disk. PostgreSQL refuses to run as root, so that root runs it as the user postgres."""

    def __init__(self, folder):
        self.folder, self.port = Path(folder), servers.free_port()
        self.user = []
        if os.getuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
            self.user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"]
        self.data = self.folder / "data"
        initdb = [program("initdb"), "--auth=trust", "--username=symbolon", "--no-locale", "--encoding=UTF8", "--pgdata", self.data]
        servers.run(*self.user, *initdb, stdout=subprocess.DEVNULL)

    @contextlib.contextmanager
    def started(self):
        settings = {
            "port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": self.folder,
            "shared_buffers": "256MB", "max_connections": 200,
        }
        command = [*self.user, program("postgres"), "-D", self.data]
        command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, process_group=0)
        try:
            ready = [program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
            deadline = time.perf_counter() + 60
            while subprocess.run(ready).returncode:
                if self.process.poll() is not None or time.perf_counter() > deadline:
                    raise SystemExit(f"PostgreSQL does not start: {(self.folder / 'log').read_text()}")
                time.sleep(0.1)
            yield self
        finally:
            self.process.send_signal(signal.SIGINT)
            self.process.wait()

    def create(self, name, template="template0"):
        """Creates a database, and deletes the last one with this name."""
        admin = Database(self, "postgres")
        admin.rows(f"DROP DATABASE IF EXISTS {name}")
        admin.rows(f"CREATE DATABASE {name} TEMPLATE {template}")
        # Otherwise, the writes of the copy would continue during the measurement.
        admin.rows("CHECKPOINT")
        database = Database(self, name)
        database.rows(f"CREATE OR REPLACE FUNCTION digest(number bigint) RETURNS bytea LANGUAGE sql AS $$ {DIGEST} $$")
        return database

    def cpu_seconds(self):
        """Returns the processor time of all processes, including those that have ended."""
        ticks = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = stat.read_text().rpartition(")")[2].split()
                if stat.parent.name == str(self.process.pid):
                    ticks += sum(map(int, fields[11:15]))
                elif int(fields[1]) == self.process.pid:
                    ticks += sum(map(int, fields[11:13]))
        return ticks / os.sysconf("SC_CLK_TCK")
