"""Ordered sums: the same bits in any order, right to the resolution, NaN where they would not fit."""

import functools
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfljax.aggregate import reduction
from pfljax.aggregate.reduction import FRACTION, LIMIT

STEADY = settings(deadline=None, derandomize=True, max_examples=60)
ORDERED = reduction("ordered")

numbers = st.floats(-1000, 1000, width=32, allow_subnormal=False)
addends = st.lists(numbers, min_size=1, max_size=40)


def total(groups: list[list[float]]) -> np.ndarray:
    """The ordered sum with each group summed first, as lanes, chunks and devices do."""
    add = lambda a, b: ORDERED.settle(jax.tree.map(jnp.add, a, b))
    lifted = [[ORDERED.lift({"x": jnp.float32(x)}) for x in group] for group in groups]
    return np.asarray(ORDERED.read(functools.reduce(add, [functools.reduce(add, group) for group in lifted]))["x"])


@STEADY
@given(addends, st.randoms(use_true_random=False), st.integers(1, 7))
def test_order_and_grouping_change_no_bit(values, shuffler, size):
    expected = total([values])
    mixed = list(values)
    shuffler.shuffle(mixed)
    groups = [mixed[begin : begin + size] for begin in range(0, len(mixed), size)]
    assert total(groups).tobytes() == expected.tobytes()


def test_floats_are_not_so():
    """The control: the plain sum of these depends on the order."""
    values = np.array([1e4, 1e-4, -1e4, 3e-4], np.float32)
    assert functools.reduce(np.add, values) != functools.reduce(np.add, values[::-1])
    assert total([values.tolist()]).tobytes() == total([values[::-1].tolist()]).tobytes()


@STEADY
@given(addends)
def test_sums_are_right_to_the_resolution(values):
    """Each addend is off by at most half a unit; the result is then rounded to float32 twice."""
    exact = sum(Fraction(x) for x in values)
    slack = Fraction(len(values), 2 ** (FRACTION + 1)) + 2 * abs(exact) / 2**23 + Fraction(1, 2**22)
    assert abs(Fraction(float(total([values]))) - exact) <= slack


def test_many_small_addends_do_not_vanish():
    """1e-6 added 2**20 times to 1000: in float32 one by one, nothing of it would arrive."""
    lifted = ORDERED.lift({"x": jnp.float32(1e-6)})
    add = lambda _, carry: ORDERED.settle(jax.tree.map(jnp.add, carry, lifted))
    summed = jax.lax.fori_loop(0, 2**20, add, ORDERED.lift({"x": jnp.float32(1000.0)}))
    # The bound counts each addend as 1, for it is a whole number.
    np.testing.assert_allclose(float(ORDERED.read(summed)["x"]), 1000 + 2**20 * 1e-6, rtol=5e-4)


@pytest.mark.parametrize(
    "values", [[LIMIT], [-LIMIT, 1.0], [LIMIT / 2, LIMIT / 2], [LIMIT / 2, -LIMIT / 2], [3e38], [np.inf], [np.nan]]
)
def test_what_may_not_fit_is_nan(values):
    assert np.isnan(total([values]))


def test_just_below_the_limit_fits():
    assert total([[LIMIT / 2, LIMIT / 2 - 2]]) == LIMIT - 2
    assert total([[-LIMIT / 2, -LIMIT / 2 + 2]]) == -(LIMIT - 2)
    assert total([[LIMIT - 2]] + [[0.0]] * 5) == LIMIT - 2


@pytest.mark.parametrize("kind", ["fast", "ordered"])
def test_trees_keep_their_shape(kind):
    tree = {"a": jnp.arange(6.0).reshape(2, 3), "b": (jnp.float32(-2.5),)}
    back = reduction(kind).read(reduction(kind).settle(reduction(kind).lift(tree)))
    assert jax.tree.structure(back) == jax.tree.structure(tree)
    for a, b in zip(jax.tree.leaves(back), jax.tree.leaves(tree), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_nothing_is_a_tree_too():
    assert jax.tree.leaves(ORDERED.read(ORDERED.lift(()))) == []
