"""Budgets: what the counters of pinned workloads may be, as JSON, one set for each version of JAX and kind of device.

{"jax 0.10.2 cpu x86_64": {"mlp": {"operations": 1234567, "temp_bytes": 4096, ...}, ...}, ...}
"""

import json
import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from pfljax.errors import PflError

Counters = Mapping[str, int | float]  # {counter: value}
Measured = Mapping[str, Counters]  # {workload: {counter: value}}
Budgets = dict[str, dict[str, dict[str, int | float]]]  # {setting: {workload: {counter: value}}}

# How far a counter may move unnoticed. What a compiler lays out in memory is less exact than what it is asked to do.
BYTES, SCRATCH = 0.02, 0.05
SCRATCH_COUNTERS = ("temp_bytes", "peak_bytes")


class NoBudget(PflError):
    """There is nothing to compare with: a version of JAX or a kind of device that was never measured."""


@dataclass(frozen=True)
class Change:
    """One counter that is not what it was. was: None if it had no budget; now: None if it is no longer measured."""

    workload: str
    counter: str
    was: int | float | None
    now: int | float | None

    @property
    def is_failure(self) -> bool:
        """Whether it grew, appeared or vanished, rather than shrank."""
        return self.was is None or self.now is None or self.now > self.was

    @property
    def is_tolerable(self) -> bool:
        """Whether it moved, in either direction, by no more than its tolerance."""
        if self.was is None or self.now is None:
            return False
        return abs(self.now - self.was) <= tolerance(self.counter) * abs(self.was)

    def __str__(self) -> str:
        if self.was is None:
            return f"{self.workload}: {self.counter}: had no budget, is {_shown(self.now)}"
        if self.now is None:
            return f"{self.workload}: {self.counter}: was {_shown(self.was)}, is no longer measured"
        percent = f"{100 * (self.now / self.was - 1):+.2f} %" if self.was else "from none"
        return f"{self.workload}: {self.counter}: was {_shown(self.was)}, is {_shown(self.now)} ({percent})"


def setting() -> str:
    """What budgets hold for: the version of JAX (major.minor.patch) and the kind of device."""
    device = jax.devices()[0]
    kind = platform.machine() if device.platform == "cpu" else device.device_kind
    return f"jax {'.'.join(jax.__version__.split('.')[:3])} {device.platform} {kind}"


def tolerance(counter: str) -> float:
    """How much a counter may change, as a share of its budget: nothing, but for bytes."""
    if counter in SCRATCH_COUNTERS:
        return SCRATCH
    return BYTES if counter.endswith("_bytes") else 0.0


def changes(measured: Measured, budget: Measured) -> list[Change]:
    """All counters that differ from their budget by more than their tolerance, in both directions."""
    found = []
    for workload in sorted(measured.keys() | budget.keys()):
        if workload not in budget:
            found.append(Change(workload, "all counters", None, len(measured[workload])))
            continue
        if workload not in measured:
            found.append(Change(workload, "all counters", len(budget[workload]), None))
            continue
        now, was = measured[workload], budget[workload]
        for counter in sorted(now.keys() | was.keys()):
            change = Change(workload, counter, was.get(counter), now.get(counter))
            if not change.is_tolerable:
                found.append(change)
    return found


def check(measured: Measured, budget: Measured) -> list[Change]:
    """The counters that fail: grown beyond their tolerance, without a budget, or no longer measured."""
    return [change for change in changes(measured, budget) if change.is_failure]


def read(path: Path) -> Budgets:
    """All budgets of a file, none if there is no file. Raises PflError for a file that is not one of budgets."""
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except (ValueError, UnicodeDecodeError) as error:
        raise _corrupt(path, str(error)) from None
    _check_depth(path, found, ("setting", "workload", "counter"))
    return found


def budget_for(path: Path, here: str) -> dict[str, dict[str, int | float]]:
    """The budgets of one setting; NoBudget if the file has none."""
    budgets = read(path)
    if here not in budgets:
        known = "; ".join(sorted(budgets)) or "nothing"
        raise NoBudget(f"no budget for {here} in {path}, which has {known}; run update and commit the file")
    return budgets[here]


def write(path: Path, here: str, budget: Measured) -> None:
    """Replaces one setting's budgets and leaves the others as they are."""
    budgets = read(path) | {here: {workload: dict(counters) for workload, counters in budget.items()}}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(budgets, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _check_depth(path: Path, found: Any, levels: tuple[str, ...]) -> None:
    if not levels:
        if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
            raise _corrupt(path, f"expected a number for a counter, got {found!r}")
        return
    if not isinstance(found, dict):
        raise _corrupt(path, f"expected an object with a name for each {levels[0]}, got {found!r:.60}")
    for inner in found.values():
        _check_depth(path, inner, levels[1:])


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not a number")


def _corrupt(path: Path, why: str) -> PflError:
    return PflError(
        f"budgets: expected {path} to be one of `update`'s files, got {why}; restore it, or delete it and run update"
    )


def _shown(value: int | float | None) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.10g}"
