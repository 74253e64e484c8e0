"""Uploads that add up: slots are kept apart, gates close on whatever they hold, individuals do not add."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pfljax as pfl
from pfljax.aggregate import contribution, finish, individuals, looked_at
from pfljax.types import At, Each, Mean, Sum

NUM = 3


def upload(slot: int, value: float, weight: float):
    inside = (Mean({"w": jnp.full((2, 2), value)}, jnp.float32(weight)), Sum(jnp.float32(1)))
    return {"slots": At(jax.nn.one_hot(slot, NUM), inside), "mean": Mean(jnp.float32(value), jnp.float32(weight))}


def total(uploads, counts=None):
    counts = [True] * len(uploads) if counts is None else counts
    parts = [contribution(each, jnp.bool_(count)) for each, count in zip(uploads, counts, strict=True)]
    return finish(functools.reduce(lambda a, b: jax.tree.map(jnp.add, a, b), parts), uploads[0])


def test_each_slot_is_the_mean_of_its_own():
    slots, values, weights = [0, 2, 2, 0], [1.0, 5.0, -2.0, 3.0], [1.0, 2.0, 6.0, 3.0]
    found = total([upload(*each) for each in zip(slots, values, weights, strict=True)])
    mean, count = found["slots"]
    assert count.tolist() == [2, 0, 2]
    np.testing.assert_array_equal(mean["w"][:, 0, 0], np.array([10 / 4, 0, -2 / 8], np.float32))
    np.testing.assert_array_equal(mean["w"], np.broadcast_to(mean["w"][:, :1, :1], (NUM, 2, 2)))
    assert found["mean"] == np.float32((1 + 10 - 12 + 9) / 12)  # beside it, over everybody


def test_one_slot_is_no_slot():
    plain = [Mean(jnp.array([1.5, 2.5]) * i, jnp.float32(i)) for i in (1, 2, 3)]
    found = total([At(jnp.ones(1), each) for each in plain])
    np.testing.assert_array_equal(found[0], total(plain))


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
def test_one_that_does_not_count_leaves_no_trace(bad):
    """Neither by its value, its weight nor its slot."""
    good = upload(1, 4.0, 2.0)
    broken = jax.tree.map(lambda leaf: jnp.full_like(leaf, bad), upload(1, 1.0, 1.0))
    found = total([good, broken], [True, False])
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(total([good])), strict=True):
        np.testing.assert_array_equal(a, b)


def test_values_keep_their_dtypes_within_slots():
    inside = (Mean(jnp.bfloat16(2), jnp.float32(3)), Sum(jnp.int8(100)), Mean(jnp.int16(7), jnp.float32(2)))
    mean, count, whole = total([At(jax.nn.one_hot(1, 2), inside)])
    assert (mean.dtype, whole.dtype) == (jnp.bfloat16, jnp.int16)
    assert (mean.tolist(), count.tolist(), whole.tolist()) == ([0, 2], [0, 100], [0, 7])


def test_individuals_are_taken_in_order_and_add_nothing():
    tree = {"b": Each({"x": jnp.ones(2)}), "a": (Each(jnp.int32(3)), Sum(jnp.float32(1)))}
    first, second = individuals(tree)
    assert first == 3
    np.testing.assert_array_equal(second["x"], np.ones(2))
    addend = contribution(tree, jnp.bool_(True))
    assert len(jax.tree.leaves(addend)) == 1
    stacked = (jnp.array([3, 4]), {"x": jnp.arange(4.0).reshape(2, 2)})
    found = finish(addend, tree, stacked)
    assert found["a"][0].tolist() == [3, 4]
    assert found["a"][1] == 1
    np.testing.assert_array_equal(found["b"]["x"], stacked[1]["x"])


def test_individuals_within_slots_are_refused():
    with pytest.raises(pfl.PflError, match="upload: expected Mean and Sum within an At, got an Each"):
        contribution(At(jnp.ones(1), (Each(jnp.ones(2)),)), jnp.bool_(True))


def test_what_is_looked_at_takes_the_place_of_values():
    """Weights and slots stay, and so does a value that nothing stands for; the sums know nothing of it."""
    mean, added = Mean(jnp.ones(3), jnp.float32(2), finite_if=jnp.zeros(5)), Sum(jnp.ones(3), finite_if={"x": ()})
    plain, each = Mean(jnp.ones(4), jnp.float32(1)), Each(jnp.ones(6))
    sent = (mean, {"slot": At(jnp.ones(2), (mean, added))}, plain, each)
    leaves = lambda tree: [leaf.shape for leaf in jax.tree.leaves(tree)]
    assert leaves(looked_at(sent)) == [(), (5,), (2,), (), (5,), (4,), (), (6,)]
    bare = Mean(jnp.ones(3), jnp.float32(2)), Sum(jnp.ones(3))
    bare = bare[0], {"slot": At(jnp.ones(2), bare)}
    for a, b in zip(jax.tree.leaves(total([sent[:2]])), jax.tree.leaves(total([bare])), strict=True):
        np.testing.assert_array_equal(a, b)
