"""The machine and the versions of a result."""

import json, os, re, subprocess, tomllib
from pathlib import Path

from servers import BENCH, FLASK, NODE

CRATES = (
    "async-graphql", "poem", "hyper", "tokio", "sea-orm", "sqlx-core", "sqlx-sqlite", "sqlx-postgres", "libsqlite3-sys",
    "argon2", "argon2-rust",
)
FEATURES = {"sha_ni": "SHA-NI", "avx2": "AVX2", "avx512f": "AVX-512"}


def output(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout.strip()


def version(*command):
    return re.search(r"[\d.]+\d", output(*command))[0]


def cpuinfo(key):
    found = re.search(rf"^{key}\s*:\s*(.*)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else "unknown"


def model():
    """Returns the name of the processor without trademarks. Virtual machines often hide the end of the name."""
    name = re.sub(r"\((R|TM)\)|\b(CPU|Processor)\b|@.*", "", cpuinfo("model name")).strip()
    return f"{name} (family {cpuinfo('cpu family')}, model {cpuinfo('model')})"


def slug():
    return re.sub(r"[^a-z0-9]+", "-", re.sub("family|model", "", model()).lower()).strip("-")


def processor():
    caches = []
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        caches.append(f"L{level}{kind[0].lower() if kind != 'Unified' else ''} {size.replace('K', ' KiB').replace('M', ' MiB')}")
    flags = cpuinfo("flags").split()
    features = [name if flag in flags else f"no {name}" for flag, name in FEATURES.items()]
    return f"{model()}, {os.cpu_count()} cores; caches of a core: {', '.join(caches)}; {', '.join(features)}"


def revision():
    """Returns the revision of the source, with a mark if the source was changed since."""
    try:
        commit = output("git", "rev-parse", "--short=10", "HEAD", cwd=BENCH.parent)
        changed = output("git", "status", "--porcelain", "--", ".", ":!bench/results", ":!bench/README.md", cwd=BENCH.parent)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit} with uncommitted changes" if changed else commit


def crates():
    """Returns the versions of the important crates. Symbolon and the other servers have separate lock files."""
    found = {}
    for folder in (BENCH.parent, BENCH):
        for package in tomllib.loads((folder / "Cargo.lock").read_text())["package"]:
            found.setdefault(package["name"], set()).add(package["version"])
    return [f"{name} {' and '.join(sorted(found[name]))}" for name in CRATES]


def sqlite():
    """Returns the version of SQLite in the crate libsqlite3-sys."""
    metadata = json.loads(output("cargo", "metadata", "--format-version=1", "--locked", cwd=BENCH.parent))
    (manifest,) = (one["manifest_path"] for one in metadata["packages"] if one["name"] == "libsqlite3-sys")
    header = Path(manifest).parent / "sqlite3/sqlite3.h"
    return re.search(r'#define SQLITE_VERSION\s+"(.*)"', header.read_text())[1]


def description(postgres):
    """Returns lines of Markdown. `postgres` is the path of the PostgreSQL server."""
    packages = json.loads((NODE / "package.json").read_text())["dependencies"]
    packages |= dict(re.findall(r"^(Flask|gunicorn|argon2-cffi)==(\S+)", (FLASK / "requirements.txt").read_text(), re.MULTILINE))
    programs = [
        f"Linux {os.uname().release}", f"Rust {version('rustc', '--version')}", f"Node.js {version('node', '--version')}",
        f"Python {version(FLASK / 'venv/bin/python', '--version')}", f"PostgreSQL {version(postgres, '--version')}", f"SQLite {sqlite()}",
    ]
    return [
        f"- Processor: {processor()}",
        f"- Symbolon: revision {revision()}",
        f"- Programs: {', '.join(programs)}",
        f"- Crates: {', '.join(crates())}",
        f"- Packages: {', '.join(' '.join(one) for one in packages.items())}",
    ]
