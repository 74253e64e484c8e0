"""`permute`: always a permutation, every order equally likely, each position on its own."""

from itertools import permutations
from math import factorial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pfljax.data.shuffle import permute

MOST = 5000
NUM_KEYS = 40_000
STEADY = settings(deadline=None, derandomize=True, max_examples=40)

jitted = jax.jit(permute)
over_keys = jax.jit(jax.vmap(permute, in_axes=(0, None, None)))
over_clients = jax.jit(jax.vmap(permute, in_axes=(0, 0, 0)))


def order(seed: int, count: int) -> np.ndarray:
    """[count] where each position goes. Always MOST positions, so that nothing compiles twice."""
    positions = np.minimum(np.arange(MOST), count - 1).astype(np.int32)
    return np.asarray(jitted(jax.random.key(seed), positions, jnp.int32(count)))[:count]


def orders(count: int, positions=(0, 1, 2, 3, 4), seed: int = 0) -> np.ndarray:
    """[key, position] of NUM_KEYS different keys for at most five positions."""
    positions = np.resize(np.minimum(positions, count - 1), 5).astype(np.int32)
    return np.asarray(over_keys(jax.random.split(jax.random.key(seed), NUM_KEYS), positions, jnp.int32(count)))


def assert_evenly_spread(observed: np.ndarray) -> None:
    """Chi-square within five standard deviations of what equal chances give: neither too large nor too small."""
    expected, freedom = observed.sum() / observed.size, observed.size - 1
    statistic = np.sum((observed - expected) ** 2) / expected
    assert abs(statistic - freedom) < 5 * np.sqrt(2 * freedom), statistic


@STEADY
@given(count=st.integers(1, MOST), seed=st.integers(0, 2**31 - 1))
@example(count=1, seed=0)
@example(count=MOST, seed=0)
def test_every_position_once(count, seed):
    np.testing.assert_array_equal(np.sort(order(seed, count)), np.arange(count))


@pytest.mark.parametrize("side", [2, 16, 70])
def test_every_position_once_around_squares(side):
    """The grid changes its shape there."""
    for count in (side**2 - 1, side**2, side**2 + 1, side * (side + 1), side * (side + 1) + 1):
        np.testing.assert_array_equal(np.sort(order(1, count)), np.arange(count))


@pytest.mark.parametrize("count", [2**24 - 1, 2**24 + 1, 2**31 - 1])
def test_counts_beyond_float32(count):
    """No two of many positions meet, and none leaves the domain, also where float32 is no longer exact."""
    step = count // 100_000
    positions = (np.arange(100_000) * step).astype(np.int32)
    positions[-1] = count - 1
    found = np.asarray(jax.jit(permute)(jax.random.key(0), positions, jnp.int32(count)))
    assert found.min() >= 0
    assert found.max() < count
    assert len(np.unique(found)) == len(positions)
    assert_evenly_spread(np.bincount((found / (count / 50)).astype(int), minlength=50))


@STEADY
@given(counts=st.lists(st.integers(1, 300), min_size=4, max_size=4), seed=st.integers(0, 99))
def test_clients_side_by_side_get_what_each_gets_alone(counts, seed):
    keys = jax.random.split(jax.random.key(seed), 4)
    positions = np.minimum(np.arange(300)[None], np.array(counts)[:, None] - 1).astype(np.int32)
    together = np.asarray(over_clients(keys, positions, np.array(counts, np.int32)))
    for index, count in enumerate(counts):
        alone = np.asarray(jitted(keys[index], positions[index], jnp.int32(count)))
        np.testing.assert_array_equal(together[index], alone)
        np.testing.assert_array_equal(np.sort(together[index][:count]), np.arange(count))


@STEADY
@given(count=st.integers(1, MOST), seed=st.integers(0, 99), data=st.data())
def test_a_position_does_not_depend_on_its_company(count, seed, data):
    chosen = data.draw(st.lists(st.integers(0, count - 1), min_size=6, max_size=6))
    alone = np.asarray(jitted(jax.random.key(seed), np.array(chosen, np.int32).reshape(2, 3), jnp.int32(count)))
    np.testing.assert_array_equal(alone, order(seed, count)[chosen].reshape(2, 3))


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_all_orders_are_equally_likely(count):
    found = orders(count, seed=count)[:, :count]
    digits = count ** np.arange(count)
    each = np.array([np.sum(found @ digits == np.dot(order, digits)) for order in permutations(range(count))])
    assert len(each) == factorial(count)
    assert each.sum() == NUM_KEYS
    assert_evenly_spread(each)


@pytest.mark.parametrize("count", [64, 97])
def test_pairs_of_rows_are_spread_evenly(count):
    first, second, last = orders(count, (0, 1, count - 1)).T[:3]
    for place in (first, second, last):
        assert_evenly_spread(np.bincount(place, minlength=count))
    for distance in ((second - first) % count, (last - first) % count):
        assert_evenly_spread(np.bincount(distance, minlength=count)[1:])


def test_keys_give_different_orders():
    assert len(np.unique(orders(MOST)[:1000], axis=0)) == 1000
    np.testing.assert_array_equal(order(3, 100), order(3, 100))
    assert not np.array_equal(order(3, 100), order(4, 100))
    assert not np.array_equal(order(3, 100), np.arange(100))
