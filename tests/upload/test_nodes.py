"""Transforms act on means within slots, and leave what the server sees by itself alone."""

import jax
import jax.numpy as jnp
import numpy as np

from pfljax import upload
from pfljax.types import At, Each, Mean, Sum
from pfljax.upload.transforms import applied

KEY = jax.random.key(0)


def test_clip_acts_within_slots_and_on_no_individual():
    inside = (Mean(jnp.array([30.0, 40.0]), jnp.float32(7)), Sum(jnp.float32(100)))
    sent = (At(jax.nn.one_hot(1, 3), inside), Each(jnp.full(4, 10.0)), Mean(jnp.float32(-5), jnp.float32(2)))
    slots, each, mean = applied(upload.clip(1.0), KEY, sent)
    np.testing.assert_allclose(slots.node[0].value, [0.6, 0.8], rtol=1e-6)
    assert (slots.node[0].weight, slots.node[1].value, slots.slot.tolist()) == (7, 100, [0, 1, 0])
    np.testing.assert_array_equal(each.value, np.full(4, 10.0))
    assert (mean.value, mean.weight) == (-1, 2)


def test_every_mean_has_a_key_of_its_own():
    seen = []

    def note(key, value):
        seen.append(tuple(jax.random.key_data(key).tolist()))
        return value

    one = Mean(jnp.float32(1), jnp.float32(1))
    applied(note, KEY, (one, At(jnp.ones(2), (one, one)), At(jnp.ones(2), (one,))))
    assert len(seen) == len(set(seen)) == 4


def test_none_changes_nothing():
    sent = At(jnp.ones(2), Mean(jnp.float32(1), jnp.float32(1)))
    assert applied(None, KEY, sent) is sent


def test_a_changed_value_is_looked_at_itself():
    """What was finite before says nothing of what a transform made of it."""
    mean = Mean(jnp.float32(1), jnp.float32(2), finite_if=jnp.float32(3))
    count = Sum(jnp.float32(1), finite_if=jnp.float32(3))
    changed, within = applied(lambda key, value: value * jnp.nan, KEY, (mean, At(jnp.ones(1), (mean, count))))
    assert changed.finite_if is within.node[0].finite_if is None
    assert within.node[1] == count
    assert applied(None, KEY, mean) is mean
