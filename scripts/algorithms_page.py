"""Writes docs/algorithms.md from the code and the measured figures.

    python scripts/algorithms_page.py            docs/algorithms.md anew
    python scripts/algorithms_page.py --check    fails if it is not what this script writes

Papers, files, lengths and bytes are read off the code (pfljax.run.catalog), tests from the folders of that name, and
results from docs/field.json, once benchmarks/field.py has made it.
"""

import json
import re
import statistics
import sys
from pathlib import Path

import pfljax as pfl
from pfljax.engine.memory import said
from pfljax.run.catalog import Entry, catalog

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "algorithms.md"
POPULATIONS = ("synthetic", "wearable", "keyboard")
INTRO = """\
# Algorithms

One file each, reading like its paper's box; made by `python scripts/algorithms_page.py`. `pfljax list algorithms`
prints the bytes.

"""
MOVES = """\
## What they are, move and keep

Bytes of one client in one round on `keyboard` with `char_lm` ({params} of parameters): downloaded, uploaded, kept
between rounds. They and what the server sees are derived from the client's function, not declared. An unseen client
gets what a seen one gets; or, where clients keep state, starts from its first state, which is the shared model, or
for split methods the server's initial personal part; or is sent a model that is for strangers (pFedHN: that of the
mean embedding). Median length:
{lines} lines of code.

| algorithm | paper | lines | down | up | kept | server sees | unseen client | tests |
|---|---|---:|---:|---:|---:|---|---|---|
"""
FIELD = """\
## What they bring

Test accuracy, mean over clients, of their own models; mean ± standard deviation over seeds 0 to 3. One protocol
for all, `python benchmarks/field.py {populations}` ({made}): the same model,
cohorts, rounds and local work, the client's rate chosen out of four on validation clients (held out, of a run with
another seed), everything else at its default. A run that diverged counts as 0. `keyboard` is every third of its clients
with 1,000 characters or more. Nothing else is tuned for a method, and few rounds are run: this says how methods behave
out of the box, not how good they can be made. FedBN is missing: these models have no layer to normalize.

| algorithm |{heads} |
|---|{rules}|
"""


def tests_of(entry: Entry) -> str:
    """The test files that are named after the method or its file; without any, those that make it."""
    stems = sorted({entry.name, Path(entry.file).stem})
    paths = [f"tests/{folder}/test_{stem}.py" for folder in ("papers", "algorithms") for stem in stems]
    found = [path for path in paths if (ROOT / path).exists()]
    if not found:
        made = re.compile(rf"\balgorithms\.{entry.name}\b|\bA\.{entry.name}\b")
        every = sorted(path for folder in ("papers", "algorithms") for path in (ROOT / "tests" / folder).glob("*.py"))
        found = [str(path.relative_to(ROOT)) for path in every if made.search(path.read_text())]
    return ", ".join(f"`{path}`" for path in found)


def moves(entries: list[Entry], params: int) -> str:
    rows = []
    for entry in entries:
        cells = [f"`{entry.name}`", entry.paper, str(entry.lines), *entry.facts, tests_of(entry)]
        rows.append(f"| {' | '.join(cells)} |")
    middle = statistics.median({entry.file: entry.lines for entry in entries}.values())
    return MOVES.format(params=said(params), lines=f"{middle:g}") + "\n".join(rows) + "\n"


def field(book: dict) -> str:
    here = [name for name in POPULATIONS if name in book]
    heads = " |".join(f" {name}, seen | unseen" for name in here)
    names = sorted(set().union(*(book[name] for name in here)))
    rows = []
    for name in names:
        cells = []
        for where in here:
            found = book[where].get(name)
            cells += [cell(found[group]["mean"]) if found else "-" for group in ("seen", "unseen")]
        rows.append(f"| `{name}` | {' | '.join(cells)} |")
    text = FIELD.format(
        populations=" ".join(here), made=book["made with"], heads=heads, rules="---:|" * (2 * len(here) - 1) + "---:"
    )
    return text + "\n".join(rows) + "\n"


def cell(means: list[float]) -> str:
    return f"{statistics.fmean(means):.3f} ± {statistics.stdev(means):.3f}"


def page() -> str:
    population = pfl.data.load("keyboard")
    model = pfl.models.char_lm(population)
    entries = catalog(model, population)
    shared = next(entry for entry in entries if entry.name == "fedavg").traffic
    assert shared is not None
    text = INTRO + moves(entries, shared.download)
    source = ROOT / "docs" / "field.json"
    return text + field(json.loads(source.read_text())) if source.exists() else text


def main() -> int:
    text = page()
    if "--check" in sys.argv:
        if PAGE.read_text() != text:
            print(f"{PAGE}: expected what this script writes; run it without --check")
            return 1
        return 0
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
