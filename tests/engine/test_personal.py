"""One client taken out of a result: the model that was measured, and its next round uncompiled."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pfljax as pfl
from pfljax.evaluate import curve
from tests.support.zoo import ALGORITHMS, people, tiny_model

ARGUMENTS = {"cohort": 6, "rounds": 2, "seed": 4, "devices": 2}


@pytest.fixture(scope="module")
def population():
    return people()


@pytest.fixture(scope="module")
def result(population):
    return pfl.simulate(ALGORITHMS["ditto"](tiny_model(population)), population, **ARGUMENTS)


@pytest.mark.parametrize("steps", [0, 3])
def test_the_personal_model_is_the_one_that_was_measured(population, result, steps):
    measured = curve(result, population, (0, 3)).values["test"]["loss"][(0, 3).index(steps)]
    model = result.algorithm.model
    for row in (0, int(np.flatnonzero(~result.seen)[0])):
        own = result.personal(population.ids[row], steps)
        rows = population.client(population.ids[row], "test")
        batch = {name: jnp.asarray(array) for name, array in rows.items()} | {"mask": jnp.ones(len(rows["y"]), bool)}
        outputs, _ = model.apply(own.vars, batch, jax.random.key(0), False)
        np.testing.assert_allclose(float(model.loss(outputs, batch).value.mean()), measured[row], rtol=1e-5)
        assert int(own.step) == steps


def test_debug_is_the_next_round(population, result):
    """The client's loss and state, op by op, are those of the compiled round."""
    longer = list(pfl.rounds(result.algorithm, population, block=1, **ARGUMENTS | {"rounds": 3}))[-1]
    row = int(longer.rows[0, 0])
    upload, mine, info = pfl.debug(result, population.ids[row])
    assert float(info["loss"]) == pytest.approx(float(longer.info["loss"][0, 0]), rel=1e-5)
    kept = longer.result().clients.kept
    for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(kept), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b[row]), rtol=1e-5, atol=1e-6)
    assert float(upload.weight) == population.sizes("train")[row]


def test_unknown_client_and_negative_steps(result):
    with pytest.raises(pfl.PflError, match="client: expected one of the 10 ids, got 'nobody'"):
        result.personal("nobody")
    with pytest.raises(pfl.PflError, match="steps: expected at least 0, got -1"):
        result.personal("c0", -1)
