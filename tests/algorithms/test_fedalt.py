"""FedAlt and FedRep: one is the other with the head personal, and what rests in a phase rests bit for bit."""

import numpy as np
import optax
import pytest

import pfljax as pfl
from tests.support.runs import bits, run, start

STILL = optax.sgd(0.0)
# Momentum and decay of a phase must not reach the part that rests in it.
STRONG = optax.chain(optax.add_decayed_weights(0.1), optax.sgd(0.05, momentum=0.9))
WORK = {"epochs": 1, "batch": 4}


@pytest.mark.slow
def test_fedrep_is_fedalt_with_its_head_personal(population, model):
    rep = run(pfl.algorithms.fedrep(model, STRONG, head_passes=3, **WORK), population)
    alt = run(pfl.algorithms.fedalt(model, STRONG, shared="body/*", personal_passes=3, **WORK), population)
    np.testing.assert_array_equal(bits((rep.vars, rep.clients)), bits((alt.vars, alt.clients)))


def test_the_body_rests_in_the_heads_phase(population, model):
    """The body's own phase has rate zero: where the body moved, the head's phase moved it."""
    algorithm = pfl.algorithms.fedrep(model, STILL, personal_opt=STRONG, head_passes=2, **WORK)
    before, after = start(algorithm), run(algorithm, population)
    np.testing.assert_array_equal(bits(after.vars.params["body"]), bits(before.params["body"]))
    taken = np.flatnonzero(np.asarray(after.clients.visited))
    for name, leaf in after.clients.kept.params["head"].items():
        gap = np.abs(np.asarray(leaf)[taken] - np.asarray(before.params["head"][name])[None])
        assert (gap.reshape(len(taken), -1).max(axis=1) > 1e-4).all()


def test_the_head_rests_in_the_bodys_phase(population, model):
    algorithm = pfl.algorithms.fedrep(model, STRONG, personal_opt=STILL, head_passes=2, **WORK)
    before, after = start(algorithm), run(algorithm, population)
    assert np.abs(bits(after.vars.params["body"]) - bits(before.params["body"])).max() > 1e-3
    taken = np.flatnonzero(np.asarray(after.clients.visited))
    for name, leaf in after.clients.kept.params["head"].items():
        expected = np.repeat(np.asarray(before.params["head"][name])[None], len(taken), axis=0)
        np.testing.assert_array_equal(np.asarray(leaf)[taken], expected)


def test_what_a_round_costs(model):
    counts = np.array([1, 4, 9])
    algorithm = pfl.algorithms.fedrep(model, head_passes=10, epochs=1, batch=4)
    np.testing.assert_array_equal(algorithm.steps(counts), [1, 1, 3])
    np.testing.assert_array_equal(algorithm.cost(counts), [11, 11, 33])


@pytest.mark.parametrize("passes", [0, -1, 1.5])
def test_bad_passes(model, passes):
    with pytest.raises(pfl.PflError, match=f"personal_passes: expected a whole number of at least 1, got {passes}"):
        pfl.algorithms.fedalt(model, shared="body/*", personal_passes=passes)
