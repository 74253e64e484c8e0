"""The command in several processes leaves what one process leaves, even if it was stopped or killed on the way."""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from pfljax import watch
from tests.support.processes import Ended, Running, kept_programs, launched, running

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-c", "import sys; from pfljax.cli import main; sys.exit(main())"]
ORDERED = ["--engine.reduction", "ordered", "--engine.width", "1"]
CLUSTER = ["--engine.processes", "cluster"]
ALONE = ["--engine.processes", "one"]
SMALL = ["--adapt.most-steps", "20", "--local.most-steps", "20", *ORDERED]
WEARABLE = ["run", "wearable", "--rounds", "60", "--warmup-rounds", "80", *SMALL]
LENGTHS = {"warmup": 80, "fedavg": 60, "per_fedavg": 60}
SAVED = ["--checkpoint.every", "0"]
TIMEOUT = 240.0
SOON = 20.0  # seconds within which the others end


@pytest.fixture(scope="module")
def env(tmp_path_factory) -> dict[str, str]:
    return kept_programs(tmp_path_factory)


def finished(env: dict[str, str], words: list[str], num_processes: int = 1, num_devices: int = 1) -> list[Ended]:
    """How a command ended that has to end well, in every process."""
    ended = launched([*COMMAND, *words], num_processes, num_devices, TIMEOUT, env)
    assert [each.returncode for each in ended] == [0] * num_processes, ended
    return ended


def shown(ended: Ended) -> list[str]:
    """The lines of stdout, without that of Gloo, which carries the collectives."""
    return [line for line in ended.stdout.splitlines() if not line.startswith("[Gloo] Rank")]


@pytest.fixture(scope="module")
def whole(env, tmp_path_factory) -> Path:
    """A run of one process with one device that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole") / "run"
    finished(env, [*WEARABLE, "--out", str(out)])
    return out


def records(out: Path) -> list[dict]:
    """The lines of rounds.jsonl, without their speed."""
    lines = [json.loads(line) for line in (out / "rounds.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "clients_per_second"} for line in lines]


def check_same(out: Path, whole: Path) -> None:
    for name in ("summary.json", "clients.csv"):
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name
    assert records(out) == records(whole)


def await_saved(out: Path, phase: str, started: list[Running]) -> None:
    """Returns when a block of a phase has been saved and all processes go on."""
    until = time.monotonic() + TIMEOUT
    while not any(each.name.isdecimal() for each in (out / "checkpoints" / phase).glob("*")):
        assert time.monotonic() < until
        assert all(each.process.poll() is None for each in started), [each.ended(0.0) for each in started]
        time.sleep(0.01)


def test_two_processes_leave_what_one_does(env, whole, tmp_path):
    out = tmp_path / "run"
    first, second = finished(env, [*WEARABLE, *CLUSTER, "--out", str(out)], 2)
    assert f"Run folder: {out}" in shown(first)
    assert shown(second) == []
    check_same(out, whole)
    rounds = [(each["phase"], each["round"]) for each in records(out)]
    assert rounds == [(phase, at) for phase, num in LENGTHS.items() for at in range(num)]
    manifest = json.loads((out / "manifest.json").read_text())
    assert (manifest["status"], manifest["devices"]["count"]) == ("finished", 2)


@pytest.fixture(scope="module")
def stopped(env, tmp_path_factory) -> Path:
    """A run in two processes that stopped because the second one was told to, while both warmed up."""
    out = tmp_path_factory.mktemp("stopped") / "run"
    with running([*COMMAND, *WEARABLE, *CLUSTER, *SAVED, "--out", str(out)], 2, env=env) as started:
        await_saved(out, "warmup", started)
        started[1].process.send_signal(signal.SIGTERM)
        ended = [each.ended(60.0) for each in started]
    assert [each.returncode for each in ended] == [0, 0], ended
    assert ended[0].stderr.rstrip().endswith(f"rounds; go on with: pfljax run --resume {out}")
    assert "go on with" not in ended[1].stderr
    assert shown(ended[1]) == []
    assert json.loads((out / "manifest.json").read_text())["status"] == "interrupted"
    assert 0 < len(records(out)) < sum(LENGTHS.values())
    return out


def test_what_two_processes_left_goes_on_in_one(env, whole, stopped, tmp_path):
    out = shutil.copytree(stopped, tmp_path / "run")
    finished(env, ["run", "--resume", str(out), *ALONE])
    check_same(out, whole)


def test_one_process_killed_ends_the_other(env, whole, stopped, tmp_path):
    """Soon, with a message that names it and says how to go on; now the second one, now the first."""
    out = shutil.copytree(stopped, tmp_path / "run")
    words = ["run", "--resume", str(out)]
    for victim, phase in ((1, "fedavg"), (0, "per_fedavg")):
        with running([*COMMAND, *words], 2, env=env) as started:
            await_saved(out, phase, started)
            pid = started[victim].process.pid
            os.kill(pid, signal.SIGKILL)
            begin = time.monotonic()
            ended = started[1 - victim].ended(SOON + 10.0)
            assert time.monotonic() - begin < SOON
        assert ended.returncode == watch.LOST, ended
        said = [line for line in ended.stderr.splitlines() if line.startswith(f"pfljax: process {victim} of 2 (")]
        assert said, ended
        assert f"pid {pid})" in said[-1]
        assert said[-1].endswith(f"; go on with: pfljax run --resume {out}")
        assert not (out / "summary.json").exists()
    finished(env, words, 2)
    check_same(out, whole)


def test_other_words_in_one_process_are_refused_in_both(env, tmp_path):
    out = tmp_path / "run"
    words = [*WEARABLE, *CLUSTER, "--out", str(out), "--rounds"]
    ends = "sys.exit(main([*words, str(3 + int(os.environ['JAX_PROCESS_ID']))]))"
    program = f"import os, sys; from pfljax.cli import main; words = {words}; {ends}"
    for each in launched(program, 2, env=env):
        assert each.returncode == 2, each
        assert shown(each) == []
        assert "pfljax: processes: expected the same on all, got --rounds 3 on process 0 (" in each.stderr
        assert "and 4 on process 1 (" in each.stderr
        assert "Traceback" not in each.stderr
    assert not out.exists()


def test_fewer_clients_than_devices(env, tmp_path):
    """2 in a cohort, 14 in the population, 16 devices."""
    words = ["run", "digits", "algorithm:ditto", "--cohort", "2", "--rounds", "2", "--warmup-rounds", "2", *SMALL]
    finished(env, [*words, "--out", str(tmp_path / "one")])
    finished(env, [*words, *CLUSTER, "--out", str(tmp_path / "several")], 2, 8)
    check_same(tmp_path / "several", tmp_path / "one")
