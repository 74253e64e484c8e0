"""`hold_out`: whole groups, about the share asked for, by the seed alone, and somebody left to train on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfljax.data.population import Population
from pfljax.errors import PflError
from pfljax.plan import hold_out

STEADY = settings(deadline=None, derandomize=True, max_examples=40)


def people(num_clients: int, groups: list[int] | None = None) -> Population:
    clients = {f"c{index}": {"x": np.zeros(2)} for index in range(num_clients)}
    named = None if groups is None else {f"c{index}": f"g{group}" for index, group in enumerate(groups)}
    return Population.from_clients(clients, groups=named)


@STEADY
@given(groups=st.lists(st.integers(0, 9), min_size=2, max_size=30), unseen=st.floats(0, 0.9), seed=st.integers(0, 99))
def test_groups_are_held_out_whole(groups, unseen, seed):
    num_groups = len(set(groups))
    if num_groups < 2 or round(unseen * num_groups) == num_groups:
        return
    seen = hold_out(people(len(groups), groups), unseen, seed)
    assert (seen.shape, seen.dtype) == ((len(groups),), bool)
    out = {group for group, is_seen in zip(groups, seen, strict=True) if not is_seen}
    kept = {group for group, is_seen in zip(groups, seen, strict=True) if is_seen}
    assert not out & kept
    assert kept
    assert abs(len(out) - unseen * num_groups) <= 0.5 or len(out) == 1


@pytest.mark.parametrize(("unseen", "num_out"), [(0.0, 0), (0.2, 4), (0.5, 10), (0.01, 1), (0.95, 19)])
def test_the_share_is_met(unseen, num_out):
    assert np.sum(~hold_out(people(20), unseen, seed=3)) == num_out


def test_the_seed_decides():
    first, again, other = (hold_out(people(40), 0.3, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_everybody_can_be_held_out():
    """Over seeds, every client is out about as often as its share says."""
    population = people(10)
    out = sum(~hold_out(population, 0.3, seed) for seed in range(400))
    assert np.abs(out - 120).max() < 4.5 * np.sqrt(400 * 0.3 * 0.7)


def test_the_only_group_is_trained_on():
    assert hold_out(people(3, [0, 0, 0]), 0.2, seed=0).all()
    assert hold_out(people(1), 0.2, seed=0).all()


@pytest.mark.parametrize("unseen", [-0.1, 1.0, 1.5, float("nan")])
def test_shares_outside_the_range_are_refused(unseen):
    with pytest.raises(PflError, match=r"unseen: expected a share in \[0, 1\), got"):
        hold_out(people(4), unseen, seed=0)


@pytest.mark.parametrize("population", [people(1), people(4), people(6, [0, 0, 0, 1, 1, 1])])
def test_nobody_left_is_refused(population):
    with pytest.raises(PflError, match=r"unseen: expected to leave a client to train on, got 0\.99 of"):
        hold_out(population, 0.99, seed=0)
