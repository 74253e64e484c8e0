"""Runs that are stopped, killed or refused, and what goes on from them."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from pfljax.cli import main
from pfljax.run import progress
from pfljax.run.config import RunConfig, options, plain
from pfljax.run.job import Started, Trained
from pfljax.run.presets import PRESETS
from pfljax.run.resume import configured, left
from tests.support.processes import kept_programs
from tests.support.refusal import refusal

assert jax.device_count() == 8  # JAX is up before the command line could ask for another number of devices

SMALL = [
    *("run", "wearable", "--rounds", "2", "--warmup-rounds", "3", "--cohort", "4", "--population.hidden", "4"),
    *("--warmup.steps", "2", "--adapt.most-steps", "4", "--local.most-steps", "2", "--algorithm.inner-steps", "1"),
    *("--algorithm.steps", "2"),
]
KILLS, MOMENTS = 20, 0.3  # and within how many seconds they come after a save has begun


@pytest.mark.parametrize("preset", PRESETS)
def test_a_configuration_is_read_back_from_a_manifest(preset):
    for method in PRESETS[preset].algorithms:
        config = replace(PRESETS[preset].run, algorithm=method)
        again = configured(RunConfig, json.loads(json.dumps(plain(config))))
        assert again == config
        assert options(again) == options(config)


@pytest.fixture
def keeps_programs(tmp_path_factory):
    """Runs of this process, too, compile nothing twice."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs", "jax_enable_compilation_cache")
    before = {name: jax.config.values[name] for name in names}
    folder = kept_programs(tmp_path_factory)["JAX_COMPILATION_CACHE_DIR"]
    for name, value in zip(names, (folder, 0.0, True), strict=True):
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield
    for name in names:
        jax.config.update(name, before[name])
    compilation_cache.reset_cache()


@pytest.fixture
def copied(finished, tmp_path) -> Path:
    """A finished run that says it was interrupted, so that it can be gone on with."""
    subprocess.run(["cp", "-r", str(finished), str(tmp_path / "run")], check=True)
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    (tmp_path / "run" / "manifest.json").write_text(json.dumps(manifest | {"status": "interrupted"}))
    return tmp_path / "run"


def said(capsys, *words: str) -> str:
    assert main(["run", *words]) == 2
    return capsys.readouterr().err


def test_a_finished_run_says_so(finished, capsys):
    assert main(["run", "--resume", str(finished)]) == 0
    assert capsys.readouterr().out == f"{finished} is finished: there is nothing to go on with\n"


def test_other_words_are_refused_field_by_field(copied, capsys):
    given = [*("--resume", str(copied)), *("--cohort", "5", "--algorithm.lr", "0.25", "--engine.reduction", "ordered")]
    err = said(capsys, *given)
    for part in ("--cohort 4, got 5", "--algorithm.lr 0.1, got 0.25", "--engine.reduction 'fast', got 'ordered'"):
        assert part in err
    assert "expected the run's population 'wearable', got 'plays'" in said(capsys, "plays", "--resume", str(copied))
    assert "expected the run's algorithm:per_fedavg" in said(capsys, "algorithm:ditto", f"--resume={copied}")
    assert "--out: expected the folder" in said(capsys, "--resume", str(copied), "--out", "elsewhere")
    assert "expected the folder of a run behind it, got nothing" in said(capsys, "--resume")


def test_another_version_is_refused(copied, capsys):
    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["versions"]["pfljax"] = "0.0.9"
    (copied / "manifest.json").write_text(json.dumps(manifest))
    assert "expected the run's pfljax '0.0.9', got" in said(capsys, "--resume", str(copied))


def test_folders_that_are_none(copied, tmp_path, capsys):
    assert "'nowhere', which is not there" in refusal(left, "nowhere")
    (tmp_path / "empty").mkdir()
    assert "whose manifest.json cannot be read" in refusal(left, str(tmp_path / "empty"))
    for content in ("{", "[]", "{}", '{"config": {"population": {"name": "who"}}}'):
        (copied / "manifest.json").write_text(content)
        assert "whose manifest.json is damaged" in refusal(left, str(copied))


def test_a_run_that_was_never_saved(copied):
    subprocess.run(["rm", "-r", str(copied / "checkpoints")], check=True)
    assert "which has no checkpoint yet" in refusal(left, str(copied))


@pytest.mark.slow
def test_the_evaluation_is_done_again_and_records_are_mended(copied, finished, capsys, keeps_programs):
    """What follows training is lost, the last record is cut, and one is there that no checkpoint knows."""
    text = (finished / "rounds.jsonl").read_text()
    (copied / "rounds.jsonl").write_text(text + text.splitlines()[-1][:20])
    (copied / "summary.json").unlink()
    assert main(["run", "--resume", str(copied)]) == 0
    assert (copied / "summary.json").read_bytes() == (finished / "summary.json").read_bytes()
    assert (copied / "rounds.jsonl").read_text() == text
    manifest = json.loads((copied / "manifest.json").read_text())
    assert (manifest["status"], len(manifest["resumed"])) == ("finished", 1)


def ask(monkeypatch, event_type, number: int = signal.SIGTERM, phase: str = "", times: int = 1) -> None:
    def show(self, event):
        if isinstance(event, event_type) and phase in (event.phase, ""):
            for _ in range(times):
                signal.raise_signal(number)

    monkeypatch.setattr(progress.Plain, "show", show)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_and_gone_on_with(tmp_path, finished, capfd, monkeypatch, keeps_programs, number):
    """After the first block of each phase in turn, and before the evaluation; the end is as if nothing had been."""
    out = str(tmp_path / "out")
    for phase, words in (("warmup", [*SMALL, "--out", out]), ("per_fedavg", ["run", "--resume", out])):
        with monkeypatch.context() as patch:
            ask(patch, Trained, number, phase)
            assert main(words) == 0
        err = capfd.readouterr().err
        assert err.startswith("\npfljax: stopping after this block")
        assert f"go on with: pfljax run --resume {out}" in err
        assert json.loads((tmp_path / "out" / "manifest.json").read_text())["status"] == "interrupted"
        assert not (tmp_path / "out" / "summary.json").exists()
    with monkeypatch.context() as patch:
        ask(patch, Started, number, "evaluation")
        assert main(["run", "--resume", out]) == 0
    assert main(["run", "--resume", out]) == 0
    assert (tmp_path / "out" / "summary.json").read_bytes() == (finished / "summary.json").read_bytes()
    assert (tmp_path / "out" / "clients.csv").read_bytes() == (finished / "clients.csv").read_bytes()


def command(*words: str, cwd: Path, env: dict[str, str]) -> subprocess.Popen:
    code = "import sys; from pfljax.cli import main; sys.exit(main())"
    return subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=cwd, env=os.environ | env,
    )  # fmt: skip


def saves(out: Path) -> set[tuple[str, str]]:
    """Phase and name of a run's checkpoints. The name of a complete one is the rounds that are done."""
    return {(each.parent.name, each.name) for each in out.glob("checkpoints/*/[0-9]*")}


def await_save(process: subprocess.Popen, out: Path, before: set[tuple[str, str]]) -> None:
    """Returns when a run begins to save, and one checkpoint at least is complete.

    It must have gone on from the last complete one of those before.
    """
    until = time.monotonic() + 120
    while not (new := saves(out) - before) or not any(name.isdecimal() for _, name in new | before):
        assert time.monotonic() < until
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)
    for phase, name in new:
        complete = [int(done) for each, done in before if each == phase and done.isdecimal()]
        assert int(name.partition(".")[0]) > max(complete, default=0), (new, before)


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path, tmp_path_factory):
    """kill -9 while every block is saved: what follows always goes on from a complete checkpoint."""
    words = [*SMALL, "--rounds", "1500", "--warmup-rounds", "1000", "--checkpoint.every", "0"]
    start = partial(command, cwd=tmp_path, env=kept_programs(tmp_path_factory))
    _, err = (whole := start(*words, "--out", "whole")).communicate(timeout=300)
    assert whole.returncode == 0, err
    rng, out, num_torn = random.Random(0), tmp_path / "out", 0
    process, before = start(*words, "--out", "out"), set()
    for _ in range(KILLS):
        await_save(process, out, before)
        time.sleep(MOMENTS * rng.random() ** 3)  # half of them at once, while that save is under way
        process.kill()
        _, err = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, err
        before = saves(out)
        num_torn += any(not name.isdecimal() for _, name in before)
        process = start("run", "--resume", "out")
    assert num_torn > 0
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert (out / "summary.json").read_bytes() == (tmp_path / "whole" / "summary.json").read_bytes()
