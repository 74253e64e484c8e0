"""One work, several contestants: built, checked, warmed up, then timed in turns."""

import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from peers import agreement, environments, table
from peers.host import Contestant, Failed, Unable
from peers.lineup import LINEUP
from peers.table import Measured
from peers.work import Work, load_params

CLEARLY = 1.5  # times slower than another variant in the warm-up: then it is not timed


@dataclass(frozen=True)
class Plan:
    """How to measure. rounds: of a repeat; None takes as many as last about `seconds`. timeout: of one answer."""

    repeats: int = 5
    seconds: float = 3.0
    rounds: int | None = None
    timeout: float = 900.0


@dataclass
class Lane:
    """One contestant in one variant, from its start to its figures."""

    measured: Measured
    contestant: Contestant | None = None
    reply: dict = field(default_factory=dict)

    def attempt(self, do: Callable[["Lane"], None]) -> None:
        """Does it unless something went wrong before; what goes wrong now is its status, and no one else's concern."""
        if self.measured.status:
            return
        try:
            do(self)
        except environments.Missing as error:
            self.measured.status = f"missing: {error}"
        except Failed as error:
            self.measured.status = f"failed: {error}"
        except Unable as error:
            self.measured.status = f"does not do it: {error}"
        if self.measured.status:
            print(f"{self.measured.name} {self.measured.variant}: {self.measured.status}", flush=True)
            self.close()

    def close(self) -> None:
        if self.contestant is not None:
            self.contestant.close()
            self.contestant = None


def race(work: Work, names: list[str], out: Path, plan: Plan) -> list[dict]:
    """Runs everything, writes results.json, .md and .png to `out` and returns the rows of `table.ratios`.

    Whoever fails is in the results with the reason, and the others go on.
    """
    cores = sorted(os.sched_getaffinity(0))
    lanes = [Lane(Measured(name, LINEUP[name].is_peer, v)) for name in names for v in LINEUP[name].variants]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        scratch = Path(folder)
        work.save(scratch / "work")
        work.check().save(scratch / "check")
        reference: list[tuple[float, dict]] = []
        for lane in lanes:
            stack.callback(lane.close)
            lane.attempt(lambda lane: _start(lane, cores, out))
            if not work.inner_lr:  # support and query rows are drawn by chance: only the same code draws the same
                lane.attempt(lambda lane: _check(lane, work, scratch, reference, plan))
            lane.attempt(lambda lane: _warm_up(lane, work, scratch, plan))
        _drop_slow_variants(lanes)
        for repeat in range(plan.repeats):
            for lane in lanes:
                lane.attempt(lambda lane: _repeat(lane, work, plan))
            print(f"repeat {repeat + 1} of {plan.repeats} done", flush=True)
        rows = table.ratios([lane.measured for lane in lanes])
    about = machine(cores) | {"work": work.name, "plan": vars(plan)}
    title = f"{work.name}: {about['processor']}, {len(cores)} threads"
    (out / "results.json").write_text(json.dumps({"about": about, "rows": rows}, indent=1))
    (out / "results.md").write_text(f"{title}\n\n{table.markdown(rows)}")
    if any(not row["status"] for row in rows):
        table.figure(rows, title, out / "results.png")
    return rows


def _start(lane: Lane, cores: list[int], out: Path) -> None:
    mine, entry = lane.measured, LINEUP[lane.measured.name]
    needs = environments.REQUIREMENTS / f"{entry.needs}.txt"
    python = environments.python(needs) if entry.needs else Path(sys.executable)
    log = out / f"{mine.name}{'-' if mine.variant else ''}{mine.variant}.log"
    lane.contestant = Contestant(entry.module, mine.variant, python, len(cores), log)


def _check(lane: Lane, work: Work, scratch: Path, reference: list, plan: Plan) -> None:
    """Compares with whoever was first."""
    mine, params = lane.measured, scratch / "params.npz"
    command = {"do": "check", "work": str(scratch / "check"), "params": str(params)}
    reply = lane.contestant.ask(command, plan.timeout)
    result = reply["loss"], load_params(params)
    reference.append(result)
    mine.off, mine.status = agreement.verdict(work.params, reference[0], result)


def _warm_up(lane: Lane, work: Work, scratch: Path, plan: Plan) -> None:
    """Compiles, then grows the number of rounds until they last long enough to foretell a repeat's."""
    mine, ask = lane.measured, lane.contestant.ask
    reply = ask({"do": "load", "work": str(scratch / "work")}, plan.timeout, is_watched=True)
    mine.start_seconds, mine.note, mine.versions = reply["start_seconds"], reply["note"], reply["versions"]
    count = plan.rounds or 1
    ask({"do": "run", "count": count}, plan.timeout, is_watched=True)  # some compile again in the second round
    while True:
        reply = ask({"do": "run", "count": count}, plan.timeout, is_watched=True)
        if plan.rounds or reply["seconds"] >= plan.seconds / 4 or reply["count"] >= len(work.schedule) // 20:
            break
        count = 4 * reply["count"]
    lane.reply = reply
    left = (len(work.schedule) - reply["first"] - reply["count"]) // (2 * plan.repeats)
    mine.rounds = plan.rounds or max(1, min(left, round(plan.seconds * reply["count"] / reply["seconds"])))


def _drop_slow_variants(lanes: list[Lane]) -> None:
    """Leaves those variants of a contestant that the warm-up, being short, found not much slower than another."""
    pace = lambda lane: lane.reply["seconds"] / lane.reply["count"]
    for name in dict.fromkeys(lane.measured.name for lane in lanes):
        ready = [lane for lane in lanes if lane.measured.name == name and not lane.measured.status]
        for lane in ready:
            if pace(lane) > CLEARLY * min(map(pace, ready)):
                lane.measured.status = f"its slower variant, {pace(lane):.3g} s a round in the warm-up"
                lane.close()


def _repeat(lane: Lane, work: Work, plan: Plan) -> None:
    mine = lane.measured
    reply = lane.contestant.ask({"do": "run", "count": mine.rounds}, plan.timeout)
    cohorts = work.schedule[reply["first"] : reply["first"] + reply["count"]]
    mine.cohort = cohorts.shape[1]
    mine.clients.append(cohorts.size / reply["seconds"])
    mine.steps.append(int(work.steps[cohorts].sum()) / reply["seconds"])
    mine.peak_bytes = lane.contestant.peak_bytes


def machine(cores: list[int]) -> dict:
    """What the figures depend on besides the software."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    processor = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": processor,
        "cores": cores,
        "memory_bytes": memory,
        "load": os.getloadavg(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }
