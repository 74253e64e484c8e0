"""The comparison: its order, its fairness, what each line of it is."""

from dataclasses import replace

import numpy as np
import pytest

from pfljax import PflError
from pfljax.run.config import AdaptConfig, LocalConfig, RunConfig, WarmupConfig
from pfljax.run.job import Evaluated, Finished, Ready, Started, Trained, job, marks, phase_seeds
from pfljax.run.methods import FinetuneConfig
from pfljax.run.populations import WearableConfig
from pfljax.run.presets import PRESETS

SMALL = RunConfig(
    population=WearableConfig(hidden=4),
    rounds=2,
    warmup_rounds=2,
    cohort=4,
    warmup=WarmupConfig(steps=2, batch=32),
    algorithm=FinetuneConfig(),
    adapt=AdaptConfig(most_steps=3),
    local=LocalConfig(most_steps=2),
)


def last_of(config: RunConfig) -> Finished:
    *_, last = job(config)
    assert isinstance(last, Finished)
    return last


@pytest.fixture(scope="module")
def events():
    return list(job(SMALL))


def test_order_of_events(events):
    assert isinstance(events[0], Ready)
    assert [event.phase for event in events if isinstance(event, Started)] == ["warmup", "fedavg", "evaluation"]
    assert sum(len(event.records) for event in events if isinstance(event, Trained)) == 4
    assert isinstance(events[-1], Finished)


def test_evaluation_announces_as_many_curves_as_it_makes(events):
    size = next(event.size for event in events if isinstance(event, Started) and event.phase == "evaluation")
    assert sum(isinstance(event, Evaluated) for event in events) == size


def test_fine_tuned_fedavg_is_the_personal_entry_of_its_own(events):
    last = events[-1]
    assert last.personal == "FedAvg fine-tuned"
    names = [entry.name for entry in last.evaluation.entries]
    assert names == ["constant", "local-only", "FedAvg shared", "FedAvg fine-tuned", "donor control"]


def test_shared_is_the_curve_before_its_first_step(events):
    evaluation = events[-1].evaluation
    shared, tuned = evaluation.entry("FedAvg shared"), evaluation.entry("FedAvg fine-tuned")
    assert shared.curve is tuned.curve
    assert not shared.steps.any()


def test_the_donor_takes_as_many_steps_as_its_twin(events):
    evaluation = events[-1].evaluation
    donor, twin = evaluation.entry("donor control"), evaluation.entry("FedAvg fine-tuned")
    assert (donor.steps == twin.steps).all()


def test_the_same_seed_gives_the_same_figures(events):
    again = last_of(SMALL)
    assert again.evaluation.rows() == events[-1].evaluation.rows()
    np.testing.assert_array_equal(again.evaluation.seen, events[-1].evaluation.seen)


def test_later_phases_keep_the_split_and_draw_other_cohorts():
    first, second = phase_seeds(7)
    assert first.split == second.split == 7
    assert second.sampling != first.sampling
    assert second.model != first.model
    assert phase_seeds(7) == (first, second)


def test_marks():
    assert marks(100) == (0, 5, 25, 100)
    assert marks(1) == (0, 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"cohort": 17}, "cohort: expected between 1 and the 16 seen clients, got 17"), ({"unseen": 0.99}, "unseen")],
)
def test_what_cannot_run_is_refused_before_anything_happens(change, said):
    with pytest.raises(PflError, match=said):
        next(job(replace(SMALL, **change)))


def test_without_warm_start():
    started = []
    for event in job(replace(SMALL, warmup_rounds=0)):
        started += [event.phase] if isinstance(event, Started) else []
        if isinstance(event, Trained):
            break
    assert started == ["fedavg"]


@pytest.mark.slow
def test_ditto_runs():
    config = replace(SMALL, algorithm=PRESETS["wearable"].algorithms[1])
    last = last_of(config)
    assert last.personal == "Ditto personalized"
    assert len(last.evaluation.entries) == 6
