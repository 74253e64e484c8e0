"""The gate's command line, for this project's benchmarks/gate.py and for anybody's own workloads."""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from pfljax.errors import PflError, nearest
from pfljax.gate.budget import Measured, NoBudget, budget_for, changes, read, setting, write
from pfljax.gate.counters import Workload, measure
from pfljax.gate.timing import Timing, timed

FAILED, MISTAKE, UNKNOWN = 1, 2, 3  # exit codes


def main(workloads: Mapping[str, Workload], argv: Sequence[str], budgets_path: str | Path) -> int:
    """`check` or `update`; returns the exit code.

    0: as budgeted. 1: a counter fails, or a ratio of --timed is above --at-most. 2: what was asked cannot be done.
    3: there is no budget for this version of JAX and kind of device.
    """
    try:
        return _run(workloads, _parsed(argv), Path(budgets_path))
    except NoBudget as error:
        return _complain(error, UNKNOWN)
    except PflError as error:
        return _complain(error, MISTAKE)


def _parsed(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="gate", description="Counters of pinned workloads against their budgets.")
    parser.add_argument("command", choices=("check", "update"), help="compare with the budgets, or write them")
    parser.add_argument("--only", action="append", metavar="NAME", help="this workload; may be given several times")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures for github-action-benchmark")
    parser.add_argument("--timed", action="store_true", help="also time each workload against a bare loop")
    parser.add_argument("--at-most", type=float, metavar="TIMES", help="with --timed: fail above this ratio")
    options = parser.parse_args(argv)
    if options.at_most is not None and not options.timed:
        raise PflError("--at-most: expected --timed beside it, got none; add --timed")
    if options.json is not None and not options.json.absolute().parent.is_dir():
        raise PflError(f"--json: expected a file in a folder that exists, got {options.json}; make the folder")
    return options


def _run(workloads: Mapping[str, Workload], options: argparse.Namespace, path: Path) -> int:
    if not workloads:
        raise PflError("workloads: expected at least one, got none, and nothing would be checked")
    chosen = list(workloads) if options.only is None else options.only
    for name in chosen:
        if name not in workloads:
            hint = nearest(name, workloads)
            raise PflError(f"--only: expected one of {', '.join(workloads)}, got {name!r}{hint}")
    here = setting()
    # Before minutes are spent: a file that cannot be read, or one with no budget.
    budget: Measured = budget_for(path, here) if options.command == "check" else read(path).get(here, {})
    measured, timings = {}, {}
    for name in chosen:
        begin = time.perf_counter()
        measured[name] = measure(workloads[name])
        print(f"{name}: {len(measured[name])} counters in {time.perf_counter() - begin:.1f} s", flush=True)
        if options.timed:
            timings[name] = timed(workloads[name])
            print(f"{name}: {timings[name]}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(as_benchmark(measured, timings, here), indent=2) + "\n")
    if options.only is not None:
        budget = {name: counters for name, counters in budget.items() if name in chosen}
    if options.command == "update":
        _update(path, here, measured, budget, is_partial=options.only is not None)
        return 0
    return max(_check(measured, budget, here), _check_ratios(timings, options.at_most))


def _update(path: Path, here: str, measured: Measured, budget: Measured, is_partial: bool) -> None:
    found = changes(measured, budget) if budget else []
    for change in found:
        print(change)
    others = read(path).get(here, {}) if is_partial else {}
    write(path, here, {**others, **measured})
    print(f"{path}: budgets of {len(measured)} workloads for {here} written, {len(found)} counters changed")


def _check(measured: Measured, budget: Measured, here: str) -> int:
    found = changes(measured, budget)
    failures = [change for change in found if change.is_failure]
    for change in failures:
        print(f"FAILED {change}")
    for change in found:
        if not change.is_failure:
            print(f"better {change}; run update to keep it")
    num_counters = sum(map(len, measured.values()))
    print(f"{len(failures)} of {num_counters} counters of {len(measured)} workloads fail ({here})")
    return FAILED if failures else 0


def _check_ratios(timings: Mapping[str, Timing], at_most: float | None) -> int:
    slow = {name: each for name, each in timings.items() if at_most is not None and each.times_bare > at_most}
    for name, timing in slow.items():
        print(f"FAILED {name}: times_bare: may be {at_most:g}, is {timing.times_bare:.2f}")
    return FAILED if slow else 0


def as_benchmark(measured: Measured, timings: Mapping[str, Timing], here: str) -> list[dict]:
    """Entries of github-action-benchmark's customSmallerIsBetter."""
    entry = lambda name, unit, value: {"name": name, "unit": unit, "value": value, "extra": here}
    counted = [
        entry(f"{workload}: {counter}", "bytes" if counter.endswith("_bytes") else "count", value)
        for workload, counters in measured.items()
        for counter, value in counters.items()
    ]
    return counted + [entry(f"{name}: times_bare", "ratio", each.times_bare) for name, each in timings.items()]


def _complain(error: PflError, code: int) -> int:
    print(f"gate: {error}", file=sys.stderr)
    return code
