"""`Planner`: a round's cohort depends on the seed alone, and a plan trains each of its members once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfljax.errors import PflError
from pfljax.plan import Plan, Planner, Sampler

STEADY = settings(deadline=None, derandomize=True, max_examples=50)


def planner(cohort: int = 6, num_devices: int = 2, width: int = 2, seed: int = 0, num_clients: int = 20) -> Planner:
    """Every second client is seen; a client's steps are its row + 1."""
    rows = np.arange(num_clients)
    return Planner((Sampler(rows[::2], cohort, seed),), rows + 1, 10 * (rows + 1), num_devices, width)


def test_cohorts_are_seen_clients_without_replacement():
    made = planner(cohort=7)
    cohorts = [made.samplers[0].sample(round) for round in range(200)]
    for cohort in cohorts:
        assert len(set(cohort.tolist())) == 7
        assert set(cohort.tolist()) <= set(made.samplers[0].candidates.tolist())
    assert len({tuple(cohort) for cohort in cohorts}) > 190


def test_every_client_is_sampled_equally_often():
    made, num_rounds = planner(cohort=3), 4000
    found = np.bincount(np.concatenate([made.samplers[0].sample(round) for round in range(num_rounds)]), minlength=20)[
        ::2
    ]
    spread = np.sqrt(num_rounds * 0.3 * 0.7)
    assert np.abs(found - num_rounds * 0.3).max() < 4.5 * spread
    assert found.std() > spread / 4


def test_the_whole_population_can_be_a_cohort():
    assert sorted(planner(cohort=10).samplers[0].sample(0)) == list(range(0, 20, 2))


def test_cohorts_depend_on_seed_and_round_alone():
    reference = [planner().samplers[0].sample(round) for round in range(9)]
    for changed in (planner(num_devices=5), planner(width=1), planner(width=6, num_devices=1)):
        np.testing.assert_array_equal([changed.samplers[0].sample(round) for round in range(9)], reference)
    assert not np.array_equal(planner(seed=1).samplers[0].sample(0), reference[0])
    made = planner()
    in_turn = [set(made.samplers[0].sample(round).tolist()) for round in (3, 0, 3)]
    assert in_turn[0] == in_turn[2] == set(reference[3].tolist())


@STEADY
@given(
    cohort=st.integers(1, 10),
    num_devices=st.integers(1, 8),
    width=st.integers(1, 6),
    num_rounds=st.integers(0, 3),
    first_round=st.integers(0, 50),
)
def test_a_plan_covers_each_cohort_once(cohort, num_devices, width, num_rounds, first_round):
    made = planner(cohort, num_devices, width)
    plan = made.block(first_round, num_rounds, 4)
    rounds, devices, room, lanes = plan.row.shape
    assert (rounds, devices, lanes) == (4, num_devices, width)
    assert (plan.first_round, plan.num_rounds) == (first_round, num_rounds)
    assert plan.row.dtype == plan.steps.dtype == plan.num_chunks.dtype == np.int32
    for index in range(num_rounds):
        mask = plan.mask[index]
        assert sorted(plan.row[index][mask]) == sorted(made.samplers[0].sample(first_round + index))
        np.testing.assert_array_equal(plan.steps[index][mask], plan.row[index][mask] + 1)
        used = np.arange(room) < plan.num_chunks[index][:, None]
        np.testing.assert_array_equal(mask.any(axis=-1), used)
        assert (np.diff(mask.astype(int), axis=-1) <= 0).all()
    assert not plan.mask[num_rounds:].any()
    assert not plan.num_chunks[num_rounds:].any()
    assert (plan.steps[~plan.mask] == 0).all()


@STEADY
@given(cut=st.integers(1, 5), num_devices=st.integers(1, 4), width=st.integers(1, 4))
def test_blocks_do_not_change_rounds(cut, num_devices, width):
    made = planner(6, num_devices, width)
    whole, first, rest = made.block(0, 6, 6), made.block(0, cut, 6), made.block(cut, 6 - cut, 6)
    for name in ("row", "run", "steps", "mask", "num_chunks"):
        joined = np.concatenate([getattr(first, name)[:cut], getattr(rest, name)[: 6 - cut]])
        np.testing.assert_array_equal(getattr(whole, name), joined)


@STEADY
@given(
    num_devices=st.integers(1, 4), width=st.integers(1, 6), cohorts=st.lists(st.integers(1, 5), min_size=1, max_size=4)
)
def test_a_sweeps_runs_stand_side_by_side(num_devices, width, cohorts):
    """Every run's cohort is its own sampler's, wherever its clients stand."""
    one = planner(num_devices=num_devices, width=width)
    samplers = tuple(Sampler(np.arange(20)[::2], cohort, seed) for seed, cohort in enumerate(cohorts))
    made = Planner(samplers, one.steps, one.cost, num_devices, width)
    plan = made.block(3, 2, 2)
    for index in range(2):
        for run, sampler in enumerate(samplers):
            own = plan.mask[index] & (plan.run[index] == run)
            assert sorted(plan.row[index][own]) == sorted(sampler.sample(3 + index))
    assert plan.mask.sum() == 2 * sum(cohorts)


def plan_of(steps: list, num_rounds: int) -> Plan:
    steps = np.array(steps, np.int32)
    zeros = np.zeros_like(steps)
    return Plan(0, num_rounds, zeros, zeros, steps, steps > 0, (steps > 0).any(axis=-1).sum(axis=-1))


def test_wasted_by_hand():
    one_round = [[[[4, 1], [3, 3]], [[5, 0], [0, 0]]]]  # 16 steps in lanes that take 8 + 6 + 10
    assert plan_of(one_round, 1).wasted() == pytest.approx(1 - 16 / 24)
    padding = [[[[9, 0], [9, 0]], [[9, 0], [9, 0]]]]
    assert plan_of(one_round + padding, 1).wasted() == pytest.approx(1 - 16 / 24)
    assert plan_of(one_round + padding, 2).wasted() == pytest.approx(1 - 52 / 96)
    assert plan_of(one_round, 0).wasted() == 0
    assert planner(width=1).block(0, 3, 5).wasted() == 0


@pytest.mark.parametrize("cohort", [-1, 0, 11])
def test_cohorts_that_cannot_be_drawn_are_refused(cohort):
    with pytest.raises(PflError, match=f"cohort: expected between 1 and the 10 seen clients, got {cohort}; lower it"):
        planner(cohort=cohort)
