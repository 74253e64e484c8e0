"""What leaves a client: bounds hold, identities are identities, and the engine applies them as the reference does."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pfljax as pfl
from pfljax import upload
from pfljax.engine import reference
from pfljax.types import Mean, Sum
from pfljax.upload.transforms import applied
from tests.support.zoo import people, tiny_model

KEY = jax.random.key(0)
ARGUMENTS = {"cohort": 5, "rounds": 2, "seed": 1}


def length(tree) -> float:
    return float(np.sqrt(sum(np.sum(np.square(np.asarray(leaf, np.float64))) for leaf in jax.tree.leaves(tree))))


@settings(deadline=None, derandomize=True, max_examples=50)
@given(values=st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=5), norm=st.floats(1e-3, 1e3))
def test_clip_bounds_the_norm_and_keeps_the_direction(values, norm):
    value = {"a": jnp.array(values, jnp.float32), "b": jnp.float32(1.0)}
    clipped = upload.clip(norm)(KEY, value)
    assert length(clipped) <= norm * (1 + 1e-5)
    if length(value) <= norm * (1 - 1e-5):
        np.testing.assert_array_equal(clipped["a"], value["a"])
    np.testing.assert_allclose(
        np.asarray(clipped["a"]) * length(value), np.asarray(value["a"]) * length(clipped), rtol=1e-3, atol=1e-4
    )


def test_clip_of_nothing_is_nothing():
    zeros = {"a": jnp.zeros(3)}
    np.testing.assert_array_equal(upload.clip(1.0)(KEY, zeros)["a"], zeros["a"])
    assert not np.isfinite(upload.clip(1.0)(KEY, {"a": jnp.array([jnp.nan])})["a"]).any()  # stays for the door to see


@pytest.mark.parametrize("norm", [0, -1.0, float("nan")])
def test_bad_norms(norm):
    with pytest.raises(pfl.PflError, match="norm: expected a positive number"):
        upload.clip(norm)


def test_only_means_are_changed_and_before_their_weight():
    sent = {"delta": Mean({"w": jnp.full(4, 10.0)}, jnp.float32(7)), "count": Sum(jnp.float32(100))}
    changed = applied(upload.clip(1.0), KEY, sent)
    assert length(changed["delta"].value) == pytest.approx(1.0)
    assert changed["delta"].weight == 7
    assert changed["count"].value == 100


def test_chain_goes_from_left_to_right_with_keys_apart():
    seen = []

    def add(key, value):
        seen.append(jax.random.key_data(key).tolist())
        return value + 1

    double = lambda key, value: value * 2
    assert upload.chain(add, double, add)(KEY, jnp.float32(3)) == 9
    assert len({tuple(each) for each in seen}) == 2


@pytest.fixture(scope="module")
def population():
    return people()


def test_the_engine_clips_every_client(population):
    """One client a round: the server moves by at most the norm; and the reference agrees for a whole cohort."""
    algorithm = pfl.algorithms.fedavg(tiny_model(population), optax.sgd(0.5), epochs=2, batch=4)
    bounded = upload.clip(0.01)
    one = ARGUMENTS | {"cohort": 1, "rounds": 1}
    start = pfl.simulate(algorithm, population, upload=upload.clip(1e-30), devices=1, **one)
    moved = pfl.simulate(algorithm, population, upload=bounded, devices=1, **one)
    gap = jax.tree.map(lambda a, b: np.asarray(a) - np.asarray(b), moved.vars.params, start.vars.params)
    assert length(gap) == pytest.approx(0.01, rel=1e-3)
    server, *_ = reference.simulate(algorithm, population, upload=bounded, **ARGUMENTS)
    result = pfl.simulate(algorithm, population, upload=bounded, devices=2, width=2, **ARGUMENTS)
    for a, b in zip(jax.tree.leaves(result.server), jax.tree.leaves(server), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-5, atol=1e-6)


def test_a_bound_that_never_binds_changes_nothing(population):
    algorithm = pfl.algorithms.fedavg(tiny_model(population), optax.sgd(0.1), epochs=1, batch=4)
    plain, loose = (
        pfl.simulate(algorithm, population, upload=t, devices=1, **ARGUMENTS) for t in (None, upload.clip(1e9))
    )
    for a, b in zip(jax.tree.leaves(plain.server), jax.tree.leaves(loose.server), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
