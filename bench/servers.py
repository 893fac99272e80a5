"""The measured servers: their requirements, their data, and their requests."""

import base64, concurrent.futures, contextlib, csv, dataclasses, datetime, http.client, json, os, re, shutil, signal, socket, sqlite3, subprocess, time
from pathlib import Path

BENCH = Path(__file__).resolve().parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", BENCH.parent / "target"))
NODE, FLASK = BENCH / "peers/node", BENCH / "peers/flask"
# Data is stored in memory, so that the disk has no effect.
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None
PASSWORD = "correct horse"
# Hashes of this password: one with the default parameters, and a cheap one for users whose tokens are needed.
HASH = "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$rk2Mi3E4dgRMg0fHaYaptWVZRKqs//6b6k3/nntqGJk"
CHEAP_HASH = "$argon2id$v=19$m=8,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$M7jw0GQI4Kfcxf+xPldfNRYttP89scc9XVAYAcaZ0U0"
CHEAP = {"SYMBOLON_ARGON2_MEMORY": "8", "SYMBOLON_ARGON2_ITERATIONS": "1"}
# All attempts come from one address.
UNTHROTTLED = {"SYMBOLON_THROTTLE": "off"}


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


def bearer(tokens):
    return [f"Bearer {token}" for token in tokens]


def basic(numbers):
    return ["Basic " + base64.b64encode(f"user{number}:{PASSWORD}".encode()).decode() for number in numbers]


def ask(connection, request):
    """Sends a request and returns the body of the response. Raises an error if the response contains errors."""
    connection.sendall(request)
    return answer(connection, request)


def answer(connection, request):
    with http.client.HTTPResponse(connection) as response:
        response.begin()
        body = response.read()
    if response.status != 200 or b'"errors"' in body:
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


def symbolon(database, requests, profile="dist", **environment):
    # Every user must be allowed to query the list.
    environment = {"SYMBOLON_USER_LIST": "members", **UNTHROTTLED, **environment}
    environment = {"DATABASE_URL": f"sqlite://{database}", **environment}
    return Peer("Symbolon", [TARGET / profile / "symbolon"], requests, environment)


def accounts(folder, database, count, wanted, profile="dist"):
    """Creates Symbolon's database with `count` users, and returns tokens. Each user whose number is in `wanted` has a
    cheap hash and signs in once. The other users have a hash with the default parameters."""
    rows = folder / "users.csv"
    with open(rows, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["username", "email", "password_hash"])
        for number in range(1, count + 1):
            hash = CHEAP_HASH if number in wanted else HASH
            writer.writerow([f"user{number}", f"user{number}@example.org", hash])
    sign_ins = graphql("mutation { createToken { token } }", basic(wanted))
    peer = symbolon(database, {"probe": graphql("{ __typename }", [None])}, profile, **CHEAP)
    environment = {"PATH": os.environ["PATH"], "SYMBOLON_LOG": "error", **peer.environment}
    run(*peer.command, "migrate", env=environment, stdout=subprocess.DEVNULL)
    run(*peer.command, "user", "import", rows, env=environment, stdout=subprocess.DEVNULL)
    rows.unlink()
    with peer.on(None).started() as server, concurrent.futures.ThreadPoolExecutor(16) as pool:
        return [json.loads(answer)["data"]["createToken"]["token"] for answer in pool.map(server.ask, sign_ins)]


def tutorial_table(database, count):
    """Creates the table of the tutorial server, the Flask original and graphql-yoga, and returns the tokens. Each user
    has a token that expires in a day."""
    tomorrow = datetime.datetime.now() + datetime.timedelta(days=1)
    tokens = [f"{number:032}" for number in range(1, count + 1)]
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(
            "CREATE TABLE user (id INTEGER PRIMARY KEY NOT NULL, username VARCHAR(64) NOT NULL, email VARCHAR(120) "
            "NOT NULL, password_hash VARCHAR(128) NOT NULL, token VARCHAR(32), token_expiration DATETIME)"
        )
        for column in ("username", "email", "token"):
            connection.execute(f"CREATE UNIQUE INDEX ix_user_{column} ON user ({column})")
        connection.executemany(
            "INSERT INTO user VALUES (?, ?, ?, ?, ?, ?)",
            (
                (number, f"user{number}", f"user{number}@example.org", HASH, token, f"{tomorrow:%Y-%m-%d %H:%M:%S.%f}")
                for number, token in enumerate(tokens, 1)
            ),
        )
    return tokens
