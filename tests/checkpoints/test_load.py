"""A checkpoint, the last or the best one, is the result that the run had then."""

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import optax
import pytest

import pfljax as pfl
from pfljax import algorithms
from pfljax.checkpoints.best import Best, better
from pfljax.checkpoints.load import opened as reading
from pfljax.checkpoints.store import Store
from tests.checkpoints.test_checkpoints import opened, saved, snapshot
from tests.checkpoints.test_resume_bits import MODEL, PEOPLE, population
from tests.support.refusal import refusal
from tests.support.runs import bits

DITTO = algorithms.ditto(MODEL, optax.sgd(0.1), steps=2, batch=4)
HOW = {"devices": 2, "width": 1}
SEEDS = pfl.Seeds(3, 4, 5)


def trained(**change) -> pfl.Result:
    arguments = {"cohort": 4, "seed": SEEDS, "rounds": 3, "unseen": 0.3, "eval_every": 1} | change
    return pfl.simulate(DITTO, PEOPLE, block=1, **HOW, **arguments)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[pfl.Result, Path]:
    """A result, and where it was saved: only the newest and, by loss, the best checkpoint are there."""
    folder = tmp_path_factory.mktemp("saved")
    return trained(checkpoints=pfl.Checkpoints(folder, every=0, keep=1, best="loss")), folder


load = partial(pfl.load_checkpoint, algorithm=DITTO, population=PEOPLE, **HOW)


def timeless(result: pfl.Result) -> list[dict]:
    return [{**each, "clients_per_second": 0} for each in result.records]


@pytest.mark.slow
def test_the_last_one_is_the_result(run):
    whole, folder = run
    found = load(folder)
    np.testing.assert_array_equal(bits((found.server, found.clients)), bits((whole.server, whole.clients)))
    assert found.records == whole.records
    assert found.seeds == whole.seeds == SEEDS
    np.testing.assert_array_equal(found.seen, whole.seen)
    assert pfl.evaluate(found, PEOPLE, (0, 1)).rows() == pfl.evaluate(whole, PEOPLE, (0, 1)).rows()


@pytest.mark.slow
def test_the_best_one_is_the_result_after_its_round(run, tmp_path):
    """The folder as it would be if a later round had been worse, and after as many rounds alone."""
    whole, folder = run
    losses = [each["validation_loss"] for each in whole.records]
    assert load(folder, best="loss").records == whole.records[: int(np.argmin(losses)) + 1]
    worse = algorithms.ditto(MODEL, optax.sgd(-0.1), steps=2, batch=4)  # climbs: the first round is the best
    run_worse = partial(pfl.simulate, worse, PEOPLE, cohort=4, seed=SEEDS, eval_every=1, block=1, **HOW)
    run_worse(rounds=3, checkpoints=pfl.Checkpoints(tmp_path, every=0, keep=1, best="loss"))
    first = run_worse(rounds=1)
    found = pfl.load_checkpoint(tmp_path, worse, PEOPLE, best="loss", **HOW)
    assert timeless(found) == timeless(first)
    np.testing.assert_array_equal(bits((found.server, found.clients)), bits((first.server, first.clients)))
    said = refusal(pfl.load_checkpoint, tmp_path, worse, PEOPLE, best="los", **HOW)
    assert "best: expected one of" in said
    shutil.rmtree(tmp_path / "1")
    said = refusal(pfl.load_checkpoint, tmp_path, worse, PEOPLE, best="loss", **HOW)
    assert "best: expected the checkpoint after 1 rounds, the best by 'loss', got those after 3 in" in said


@pytest.mark.slow
def test_nothing_is_written_and_a_run_may_go_on_beside_it(run, tmp_path):
    _, folder = run
    names = lambda: sorted(path.relative_to(folder) for path in folder.rglob("*"))
    before = names()
    with Store(pfl.Checkpoints(folder), _fingerprint(folder)):
        assert len(load(folder).records) == 3
    assert names() == before


def _fingerprint(folder: Path) -> dict:
    with reading(folder) as found:
        return found.fingerprint


@pytest.mark.slow
def test_another_configuration_is_refused_field_by_field(run):
    _, folder = run
    other = algorithms.ditto(MODEL, optax.sgd(0.2), steps=2, batch=4)
    said = refusal(pfl.load_checkpoint, folder, other, PEOPLE)
    assert "folder: expected the run's algorithm." in said
    assert "step_size -0.1, got -0.2; give" in said
    assert "population.checksum" in refusal(pfl.load_checkpoint, folder, DITTO, population(11))
    assert "algorithm" not in refusal(pfl.load_checkpoint, folder, DITTO, population(11))


@pytest.mark.slow
def test_folders_without_what_is_asked_for(run, tmp_path):
    _, folder = run
    assert f"expected one with checkpoints, got '{tmp_path}', which has none" in refusal(load, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert "nowhere', which is not there" in refusal(load, tmp_path / "nowhere")
    (tmp_path / "manifest.json").write_text("{}")
    assert "the folder of a pfljax run; use pfl.load_run" in refusal(load, tmp_path)
    assert "best: expected one of accuracy, loss, got 'los', did you mean 'loss'?" in refusal(load, folder, best="los")


def test_a_phase_of_the_command_is_not_simulates(tmp_path):
    about = {"pfljax": "1", "phase": "fedavg"}
    with opened(tmp_path, about) as store:
        store.save(snapshot(1))
        store.wait()
    assert "got a phase of pfljax run in" in refusal(load, tmp_path)


# A restore that fails leaves orbax a coroutine that is closed after its event loop, now and then.
@pytest.mark.filterwarnings("ignore:Exception ignored.*:pytest.PytestUnraisableExceptionWarning")
def test_a_damaged_one_is_said_and_left_where_it_is(tmp_path):
    saved(tmp_path, [1, 2])
    (tmp_path / "2" / "about" / "metadata").write_text("{")
    said = refusal(load, tmp_path)
    assert f"got a damaged one, '{tmp_path}/2'" in said
    assert "move it away to use the one before it" in said
    assert (tmp_path / "2").is_dir()


@pytest.mark.parametrize(("end", "done"), [("lower", 2), ("higher", 3)])
def test_the_best_of_records(end, done):
    figures = [3.0, 1.0, 4.0, 1.0, 4.0, float("nan")]
    records = [{"round": index, "validation_loss": figure} for index, figure in enumerate(figures)]
    best = Best("loss", end, [{"round": 7}, *records])
    assert (best.done, best.figure) == (done, figures[done - 1])
    assert Best(None, end, records).done == 0
    assert better("loss", MODEL, "x") == "lower"
