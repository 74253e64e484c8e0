"""Who is silent, by a store and a clock of the test's own; and real processes that are killed, stopped, or give up."""

import json
import os
import signal
import sys
import time
from types import SimpleNamespace

import pytest

from pfljax import watch
from pfljax.beats import LEFT_SECONDS, Beat, Seen, described, silent
from pfljax.errors import PflError
from pfljax.watch import BEATS, FAULT, HINT, Watch
from tests.support.processes import ROOT, launched, running

HEARTBEAT = 5.0
# Sums over all devices in a loop, as rounds do. {then}: what a process does after it has begun.
PROGRAM = """
import sys, time
import jax, numpy as np
from jax.sharding import NamedSharding, PartitionSpec as P
from pfljax import watch
from pfljax.cluster import use_processes
from pfljax.errors import PflError

use_processes(heartbeat={heartbeat})
me = jax.process_index()
mesh = jax.make_mesh((jax.device_count(),), ("clients",), axis_types=(jax.sharding.AxisType.Auto,))
host = np.arange(float(jax.device_count()), dtype=np.float32)
x = jax.make_array_from_callback(host.shape, NamedSharding(mesh, P("clients")), lambda index: host[index])
total = jax.jit(lambda x: x.sum(), out_shardings=NamedSharding(mesh, P()))
watch.hint("pfljax run --resume here")
for step in range({steps}):
    assert float(total(x)) == host.sum()
    if step == 3:
        time.sleep(1.0)  # for the hint to get round
        print("going", flush=True)
    if step > 3:
        {then}
    time.sleep(0.02)
print("done", flush=True)
"""


def program(then: str = "pass", steps: int = 10**6) -> str:
    return PROGRAM.format(heartbeat=HEARTBEAT, then=then, steps=steps)


def beat(moved: int, *, process: int = 1, has_left: bool = False) -> Beat:
    return Beat(moved, f"host{process}", 100 + process, 0.5, has_left)


def fresh(num_processes: int = 3, process: int = 0) -> Watch:
    """A watch that nobody has started, of a cluster without a store."""
    joined = {"client": None, "coordinator_address": "127.0.0.1:1", "process_id": process}
    return Watch(SimpleNamespace(**joined, num_processes=num_processes), HEARTBEAT)


def test_silence():
    seen = {1: Seen(beat(4), 6.0), 2: Seen(beat(9), 8.5)}
    assert silent(seen, answered=9.0, now=9.5, patience=5.0) == ()
    assert silent(seen, answered=11.5, now=11.6, patience=5.0) == (1,)
    assert silent(seen, answered=14.0, now=14.0, patience=5.0) == (1, 2)


def test_a_store_that_does_not_answer_blames_process_0_alone():
    """Nothing is known of the others then."""
    assert silent({0: Seen(beat(4), 1.0), 1: Seen(beat(4), 0.0)}, answered=2.0, now=7.5, patience=5.0) == (0,)


def test_whoever_has_left_may_be_silent_for_long():
    seen = {1: Seen(beat(4, has_left=True), 1.0)}
    assert silent(seen, answered=60.0, now=60.0, patience=5.0) == ()
    late = 1.5 + LEFT_SECONDS
    assert silent(seen, answered=late, now=late, patience=5.0) == (1,)
    assert "ended, and this one still" in described((1,), seen, 3, 5.0)


def test_the_words_name_all_that_are_missing():
    seen = {1: Seen(beat(4), 1.0), 2: Seen(None, 0.0)}
    text = described((1, 2), seen, 3, 5.0)
    assert text == "process 1 of 3 (host1, pid 101) and process 2 of 3 died or hangs, not heard of for 5 s"


def test_a_watch_hears_and_judges():
    """Beats that move reset the silence; the same beat read again does not."""
    own = fresh()
    for second in range(1, 9):
        for _ in range(2):
            assert own.tick(0.5) == ""
        moved = {1: second, 2: min(second, 4)}
        own.hear({f"{BEATS}{each}": json.dumps(beat(moved[each], process=each)) for each in moved} | {HINT: "resume"})
    assert own.hint == "resume"
    assert own.tick(0.9) == ""
    own.hear({f"{BEATS}1": json.dumps(beat(9)), f"{BEATS}2": json.dumps(beat(4, process=2))})
    assert own.tick(0.5) == ""
    own.answered = own.clock
    assert own.tick(0.0).startswith("process 2 of 3 (host2, pid 102) died or hangs")


def test_what_another_has_found_counts():
    """What a process has found itself is in its own hands already."""
    own, text = fresh(), "process 2 of 3 ended: Oops"
    own.hear({FAULT: json.dumps([0, text])})
    assert own.tick(0.1) == ""
    own.hear({FAULT: json.dumps([2, text])})
    assert own.tick(0.1) == text


@pytest.mark.parametrize(("finder", "said"), [(-1, "process 1 of 2 died"), (0, ""), (1, "oops")])
def test_a_line_that_breaks_is_a_death_unless_it_is_known_why(finder, said):
    """Whoever has blamed one itself is not surprised when the others end."""
    store = {FAULT: json.dumps([finder, "oops"])} if finder >= 0 else {}
    own = fresh(2)
    own.client = SimpleNamespace(key_value_set=lambda *_, **__: None, key_value_dir_get=lambda _: store)
    own.died(1)
    assert own.fault == said


def test_a_line_that_breaks_after_a_good_end_is_no_death():
    own = fresh(2)
    store = {f"{BEATS}1": json.dumps(beat(3, has_left=True))}
    own.client = SimpleNamespace(key_value_set=lambda *_, **__: None, key_value_dir_get=lambda _: store)
    own.died(1)
    assert own.fault == ""


class Service:
    """The store of process 0 of three, whose other beats move while it sleeps; `still` does not."""

    def __init__(self, still: int = -1, fault: str = ""):
        self.beats = {process: beat(5, process=process) for process in range(3)}
        self.still, self.texts = still, {FAULT: json.dumps([2, fault])} if fault else {}

    def sleep(self, seconds: float) -> None:
        assert seconds > 3 * 0.5
        self.beats = {each: made._replace(moved=9) if each != self.still else made for each, made in self.beats.items()}

    def key_value_dir_get(self, prefix: str) -> list[tuple[str, str]]:
        texts = self.texts | {f"{BEATS}{each}": json.dumps(made) for each, made in self.beats.items()}
        return [(key, text) for key, text in texts.items() if key.startswith(prefix)]

    def key_value_set(self, key: str, text: str) -> None:
        self.texts[key] = text


@pytest.mark.parametrize(
    ("service", "said"),
    [
        (Service(), None),
        (Service(still=0), None),  # this process itself
        (Service(still=1), "process 1 of 3 (host1, pid 101) died or hangs, not heard of for 2 s"),
        (Service(still=1, fault="oops"), "oops"),
    ],
)
def test_whose_fault_an_error_is(monkeypatch, service, said):
    """Of a process whose beat stands still, which the others are told, or of what another has told."""
    joined = SimpleNamespace(client=service, process_id=0, num_processes=3, coordinator_address="127.0.0.1:1")
    monkeypatch.setattr(watch, "cluster", lambda: joined)
    monkeypatch.setattr(watch.time, "sleep", service.sleep)
    assert watch.whose_fault(RuntimeError("connection reset")) == said
    told = json.loads(service.texts.get(FAULT, "[null, null]"))
    assert told == ([2, "oops"] if said == "oops" else [0 if said else None, said])
    assert watch.whose_fault(PflError("own")) is None


def test_the_clock_stands_still_while_this_process_is_stopped():
    own = fresh(process=1)
    assert own.tick(1000.0) == ""
    assert own.clock == 2 * own.every


def test_a_process_at_its_end_expects_nobody_who_has_left():
    own = fresh(2)
    own.seen[1], own.clock, own.answered = Seen(beat(3, has_left=True), 0.0), 300.0, 300.0
    assert own.tick(0.0) != ""
    own.has_left = True
    assert own.tick(0.0) == ""


def test_one_process_needs_no_watch():
    watch.hint("nobody reads this")
    assert watch.whose_fault(RuntimeError("own")) is None
    assert watch.give_up("own", 7) == 7


@pytest.mark.slow
@pytest.mark.parametrize(("num_processes", "then"), [(2, "pass"), (3, "time.sleep(600)")])
@pytest.mark.parametrize("victim", [0, 1])
def test_a_process_that_dies(num_processes, then, victim):
    """The others end within seconds, though the heartbeat would allow for more, and say who it was.

    While all compute, and while none waits for another, or would never know, as on some devices.
    """
    with running(program(then), num_processes) as started:
        assert all(each.said("going") for each in started)
        os.kill(started[victim].process.pid, signal.SIGKILL)
        begin = time.monotonic()
        others = [started[each].ended(10.0) for each in range(num_processes) if each != victim]
        assert time.monotonic() - begin < 10.0
    for ended in others:
        assert ended.returncode == watch.LOST, ended
        assert f"pfljax: process {victim} of {num_processes} (" in ended.stderr
        assert f"pid {started[victim].process.pid})" in ended.stderr
        assert "not heard of" not in ended.stderr
        assert ended.stderr.rstrip().endswith("; go on with: pfljax run --resume here")


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_process_that_hangs(victim):
    with running(program(), 2) as started:
        assert all(each.said("going") for each in started)
        begin = time.monotonic()
        os.kill(started[victim].process.pid, signal.SIGSTOP)
        ended = started[1 - victim].ended(HEARTBEAT + 10.0)
        took = time.monotonic() - begin
    assert ended.returncode == watch.LOST, ended
    assert f"pfljax: process {victim} of 2 (" in ended.stderr
    assert "died or hangs, not heard of for 5 s; go on with: pfljax run --resume here" in ended.stderr
    assert HEARTBEAT - 1.0 < took < HEARTBEAT + 8.0


@pytest.mark.slow
def test_an_error_of_one_process_ends_all():
    """With the error's own exit code where it came up, and its words everywhere."""
    ended = launched(program("if me == 1: raise PflError('oops: expected this')"), 3, timeout=60.0)
    assert [each.returncode for each in ended] == [watch.LOST, 1, watch.LOST]
    for other in (ended[0], ended[2]):
        assert "pfljax: process 1 of 3 (" in other.stderr
        assert "ended: PflError: oops: expected this; go on with:" in other.stderr
    assert "pfljax:" not in ended[1].stderr


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_an_exit_of_one_process_ends_all(victim):
    """With its own code there, and soon, though it lives until the others know."""
    ended = launched(program(f"if me == {victim}: sys.exit(5)"), 2, timeout=60.0)
    assert [each.returncode for each in ended] == [5 if each == victim else watch.LOST for each in range(2)], ended
    said = ended[1 - victim].stderr
    assert f"pfljax: process {victim} of 2 (" in said
    assert "ended: SystemExit: 5; go on with: pfljax run --resume here" in said
    assert "pfljax:" not in ended[victim].stderr


@pytest.mark.slow
def test_an_exit_of_all_processes_blames_nobody():
    for each in launched(program(steps=8) + "\nsys.exit(5)", 2, timeout=60.0):
        assert each.returncode == 5, each
        assert "pfljax:" not in each.stderr


@pytest.mark.slow
def test_giving_up_ends_all():
    ended = launched(program("if me == 0: watch.give_up('no room', 2)"), 2, timeout=60.0)
    assert [each.returncode for each in ended] == [2, watch.LOST]
    assert "ended: no room" in ended[1].stderr


@pytest.mark.slow
@pytest.mark.parametrize("early", [0, 1])
def test_a_good_end_blames_nobody(early):
    """Even if one comes to it long, in heartbeats, before the other."""
    last = f"\nif me != {early}: time.sleep({2 * HEARTBEAT})\n"
    for each in launched(program(steps=8) + last, 2, timeout=90.0):
        assert each.returncode == 0, each
        assert "pfljax:" not in each.stderr
        assert "Traceback" not in each.stderr


@pytest.mark.slow
def test_started_by_the_script():
    """scripts/launch_local.py: one stream of lines that say whose they are, and the code of the first that failed."""
    script = [sys.executable, str(ROOT / "scripts/launch_local.py"), "-n", "2", "--devices", "2", "--"]
    words = [*script, sys.executable, "-c", program("if me == 1: sys.stdout.flush(); import os; os._exit(5)")]
    (ended,) = launched(words, 1, timeout=90.0)
    assert ended.returncode == 5, ended
    assert "\n[1] going\n" in ended.stdout
    assert "\npfljax: process 1 of 2 (" in ended.stderr
