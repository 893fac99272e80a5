"""Shows the results of all kinds of processors side by side."""

import re

from servers import BENCH

RESULTS, README = BENCH / "results", BENCH / "README.md"
# Rows of the short table in the README.
SHORT = ("`me`, ", "a list", "sign-in", "memory")
START, END = "<!-- bench/run writes this table. -->\n", "<!-- End of the table. -->\n"


def read(file):
    """Returns the processor, and the target and the result of each measurement."""
    text = file.read_text()
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \| (yes|\*\*no\*\*|) \|$", text, re.MULTILINE)
    # Names end with details that differ between runs.
    rows = {re.sub(r" \([^()]*\)$", "", what): (wanted, f"**{result}**" if "no" in met else result) for what, wanted, result, met in rows}
    return re.search(r"^- Processor: (.*?\)|[^,]*)[,;]", text, re.MULTILINE)[1], rows


def table(files, prefixes, folder):
    results = {file: read(file) for file in files}
    targets = {what: wanted for _, rows in results.values() for what, (wanted, _) in rows.items() if what.startswith(prefixes)}
    names = [f"[{processor}]({folder}{file.name})" for file, (processor, _) in results.items()]
    lines = [f"| measurement | target | {' | '.join(names)} |", f"|---|---:|{'---:|' * len(names)}"]
    for what, wanted in targets.items():
        cells = [rows.get(what, (None, "–"))[1] for _, rows in results.values()]
        lines.append(f"| {what} | {wanted} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def write():
    files = sorted(RESULTS.glob("run-*.md"))
    about = "`bench/run` wrote this file from the results of each processor. Results in bold type do not meet the target.\n\n"
    (RESULTS / "run.md").write_text(about + table(files, "", ""))
    before, rest = README.read_text().split(START)
    after = rest.split(END)[1]
    README.write_text(f"{before}{START}\n{table(files, SHORT, 'results/')}\n{END}{after}")
