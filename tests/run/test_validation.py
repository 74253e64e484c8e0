"""`--eval-every` and `--checkpoint.best`: what a run sees on validation rows, what it keeps, what survives a stop."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pfljax.checkpoints import load_checkpoint
from pfljax.cli import main
from pfljax.data import About, Population
from pfljax.engine import rounds
from pfljax.evaluate import curve, shared
from pfljax.run import progress
from pfljax.run.config import CheckpointConfig, RunConfig
from pfljax.run.job import EVALUATION, Started, Trained, algorithms, how, job, judged, marks, phase_seeds
from pfljax.run.load import load_run
from pfljax.run.report import best_lines
from pfljax.validation import Validation
from tests.run.test_job import SMALL
from tests.run.test_resume import SMALL as WORDS
from tests.run.test_resume import ask
from tests.support.refusal import refusal

LOOKING = [*WORDS, "--eval-every", "1", "--checkpoint.best", "loss", "--checkpoint.keep", "1"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"eval_every": 0}, "--eval-every: expected a whole number of at least 1, got 0"),
        ({"eval_every": 41}, "--eval-every: expected at most 40, the rounds of the shortest phase, got 41; lower it"),
        ({"eval_every": 11, "warmup_rounds": 10}, "--eval-every: expected at most 10, the rounds of the shortest"),
        ({"checkpoint": CheckpointConfig(best="loss")}, "--checkpoint.best: expected --eval-every beside it, got 'los"),
    ],
)
def test_configurations_that_are_refused(change, said):
    assert said in refusal(lambda: RunConfig(**change))


def test_a_phase_without_rounds_is_not_the_shortest():
    assert RunConfig(warmup_rounds=0, eval_every=40).eval_every == 40


def test_a_metric_that_the_model_has_not_is_refused_before_anything_is_computed():
    config = replace(SMALL, eval_every=1, checkpoint=CheckpointConfig(best="los"))
    said = refusal(lambda: next(job(config)))
    assert said == "--checkpoint.best: expected one of accuracy, loss, got 'los', did you mean 'loss'?"


def test_a_population_without_validation_rows_is_refused():
    clients = {name: {"x": np.ones((8, 2), np.float32), "y": np.arange(8) % 2} for name in "ab"}
    people = Population.from_clients(clients, split=(0.5, 0.0, 0.5), about=About(num_classes=2))
    assert "eval_every: expected validation rows to look at, got none" in refusal(Validation, people, 1)
    Validation(people, None)


def test_rounds_are_judged_by_the_first_metric_unless_another_is_named():
    population = SMALL.population.load()
    assert judged(SMALL, population) is None
    assert judged(replace(SMALL, eval_every=1), population) == ("accuracy", "higher")
    named = replace(SMALL, eval_every=1, checkpoint=CheckpointConfig(best="loss"))
    assert judged(named, population) == ("loss", "lower")


@pytest.mark.slow
def test_figures_are_the_shared_models_on_seen_clients_validation_rows():
    """Against the same rounds by hand, with the curve's own figures."""
    config = replace(SMALL, eval_every=2, warmup_rounds=0, rounds=3)
    made = []
    for event in job(config):
        if isinstance(event, Trained):
            made += event.records
        elif isinstance(event, Started) and event.phase == EVALUATION:
            break
    population = config.population.load()
    fedavg, _ = algorithms(config, population)
    blocks = rounds(
        fedavg, population, cohort=config.cohort, rounds=2, seed=phase_seeds(config.seed)[1], unseen=config.unseen,
        **how(config),
    )  # fmt: skip
    *_, last = blocks
    result = last.result()
    by_hand = curve(shared(result), population, (0,)).values["validation"]["loss"][0]
    assert ["validation_loss" in each for each in made] == [False, True, False]
    assert made[1]["validation_loss"] == np.nanmean(by_hand[result.seen])


def test_the_words_for_a_best_round():
    one = {"metric": "loss", "rounds": 1, "figure": 0.25, "checkpoint": None}
    assert best_lines({"warmup": one}) == ("best validation loss of warmup: 0.250 after 1 round",)
    assert best_lines({}) == ()


def history(folder: Path) -> list[dict]:
    """The records, without the speeds."""
    lines = (folder / "rounds.jsonl").read_text().splitlines()
    return [{**json.loads(line), "clients_per_second": 0} for line in lines]


@pytest.mark.slow
def test_stopped_and_gone_on_with_the_history_is_the_same(tmp_path, capfd, monkeypatch):
    """Stopped after the first block of two phases; the best checkpoints are the same, and stay beside the newest."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main([*LOOKING, "--out", str(whole)]) == 0
    out = capfd.readouterr().out
    for phase, words in (("warmup", [*LOOKING, "--out", str(parts)]), ("per_fedavg", ["run", "--resume", str(parts)])):
        with monkeypatch.context() as patch:
            ask(patch, Trained, phase=phase)
            assert main(words) == 0
    with monkeypatch.context() as patch:
        patch.setattr(progress.Plain, "show", lambda self, event: None)
        assert main(["run", "--resume", str(parts)]) == 0
    assert (parts / "summary.json").read_bytes() == (whole / "summary.json").read_bytes()
    assert history(parts) == history(whole)
    manifests = [json.loads((folder / "manifest.json").read_text()) for folder in (whole, parts)]
    assert manifests[0]["best"] == manifests[1]["best"]
    assert set(manifests[0]["best"]) == {"warmup", "fedavg", "per_fedavg"}
    for phase, best in manifests[0]["best"].items():
        figures = {each["round"] + 1: each["validation_loss"] for each in history(whole) if each["phase"] == phase}
        assert best["rounds"] == min(figures, key=lambda done: figures[done])
        assert best["figure"] == figures[best["rounds"]]
        assert best["checkpoint"] == f"checkpoints/{phase}/{best['rounds']}"
        kept = {int(path.name) for path in (parts / "checkpoints" / phase).iterdir() if path.name.isdecimal()}
        assert kept == {best["rounds"], max(figures)}
    for line in best_lines(manifests[0]["best"]):
        assert f"\n{line}\n" in out


@pytest.mark.slow
def test_what_is_looked_at_may_not_change_but_what_is_kept_may(tmp_path, capfd, monkeypatch):
    words = [*WORDS, "--eval-every", "2", "--out", str(tmp_path / "out")]
    with monkeypatch.context() as patch:
        ask(patch, Trained, phase="warmup")
        assert main(words) == 0
    resume = ["run", "--resume", str(tmp_path / "out")]
    assert main([*resume, "--eval-every", "1"]) == 2
    assert "expected the run's --eval-every 2, got 1" in capfd.readouterr().err
    assert main([*resume, "--checkpoint.best", "accuracy"]) == 0
    best = json.loads((tmp_path / "out" / "manifest.json").read_text())["best"]
    assert {each["metric"] for each in best.values()} == {"accuracy"}


@pytest.mark.slow
def test_a_phase_is_loaded_as_it_was(finished):
    """What the run evaluated: the fine-tuned FedAvg's figures in its summary are those of the loaded phase."""
    result = load_run(finished, "fedavg")
    assert [{"phase": "fedavg", **each, "clients_per_second": 0} for each in result.records] == [
        each for each in history(finished) if each["phase"] == "fedavg"
    ]
    tuned = curve(result, result.population, marks(4))
    summary = json.loads((finished / "summary.json").read_text())
    for row in summary["rows"]:
        if row["model"] == "FedAvg fine-tuned":
            group = result.seen == (row["clients"] == "seen")
            assert row["mean"] == tuned.at(tuned.marks.index(row["steps"]))[group].mean()
    assert load_run(finished, "warmup").seeds != result.seeds
    assert load_run(finished, "per_fedavg").algorithm.name == "per_fedavg"


def test_phases_and_checkpoints_that_are_not_there(finished):
    said = refusal(load_run, finished, "fedavgg")
    assert said == "phase: expected one of fedavg, per_fedavg, warmup, got 'fedavgg', did you mean 'fedavg'?"
    assert "expected the folder of a run" in refusal(load_run, finished / "checkpoints", "fedavg")
    assert "best: expected validation figures of 'loss'" in refusal(load_run, finished, "fedavg", "loss")
    assert "use pfl.load_run" in refusal(load_checkpoint, finished, None, None)
