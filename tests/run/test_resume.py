"""Runs that are stopped, killed or refused, and what goes on from them."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import jax
import pytest

from pfljax.cli import main
from pfljax.run import progress
from pfljax.run.config import RunConfig, options, plain
from pfljax.run.job import Started, Trained
from pfljax.run.presets import PRESETS
from pfljax.run.resume import configured, left
from tests.support.refusal import refusal

assert jax.device_count() == 8  # JAX is up before the command line could ask for another number of devices

SMALL = [
    *("run", "wearable", "--rounds", "2", "--warmup-rounds", "3", "--cohort", "4", "--population.hidden", "4"),
    *("--warmup.steps", "2", "--adapt.most-steps", "4", "--local.most-steps", "2", "--algorithm.inner-steps", "1"),
    *("--algorithm.steps", "2"),
]
KILLS = 20


@pytest.mark.parametrize("preset", PRESETS)
def test_a_configuration_is_read_back_from_a_manifest(preset):
    for method in PRESETS[preset].algorithms:
        config = replace(PRESETS[preset].run, algorithm=method)
        again = configured(RunConfig, json.loads(json.dumps(plain(config))))
        assert again == config
        assert options(again) == options(config)


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
def test_the_evaluation_is_done_again_and_records_are_mended(copied, finished, capsys):
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
def test_asked_to_stop_and_gone_on_with(tmp_path, finished, capfd, monkeypatch, number):
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


def command(*words: str, **options) -> subprocess.Popen:
    code = "import sys; from pfljax.cli import main; sys.exit(main())"
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    return subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment, **options,
    )  # fmt: skip


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path):
    """kill -9 while every block is saved: what follows always goes on from a complete checkpoint."""
    words = [*SMALL, "--rounds", "3000", "--warmup-rounds", "4000", "--checkpoint.every", "0"]
    _, err = (whole := command(*words, "--out", "whole", cwd=tmp_path)).communicate(timeout=300)
    assert whole.returncode == 0, err
    rng = random.Random(0)
    process, num_killed = command(*words, "--out", "out", cwd=tmp_path), 0
    for _ in range(KILLS):
        until = time.monotonic() + 120
        while not list(tmp_path.glob("out/checkpoints/*/[0-9]*")) and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 8.0))
        is_over = process.poll() is not None
        process.kill()
        _, err = process.communicate(timeout=60)
        assert not is_over or process.returncode == 0, err
        num_killed += not is_over
        process = command("run", "--resume", "out", cwd=tmp_path)
    assert num_killed >= KILLS // 2  # the others came too late: all was done
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert (tmp_path / "out" / "summary.json").read_bytes() == (tmp_path / "whole" / "summary.json").read_bytes()
    assert len((tmp_path / "out" / "rounds.jsonl").read_text().splitlines()) == 10_000
