"""FedALA: a W that stays at one is FedAvg, at zero local training; W keeps to 0..1 and to its own parameters."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import pfljax as pfl
from pfljax import local
from tests.support import runs
from tests.support.runs import bits

WORK = {"epochs": 1, "batch": 4}
run = partial(runs.run, cohort=5, rounds=6)


@pytest.fixture(scope="module")
def learned(population, model):
    return run(pfl.algorithms.fedala(model, optax.sgd(0.1), weight_lr=20.0, **WORK), population)


@pytest.mark.slow
def test_without_learning_it_is_fedavg(population, model, learned):
    still = run(pfl.algorithms.fedala(model, optax.sgd(0.1), weight_lr=0.0, **WORK), population)
    plain = run(pfl.algorithms.fedavg(model, optax.sgd(0.1), **WORK), population)
    np.testing.assert_allclose(bits(still.vars), bits(plain.vars), rtol=0, atol=2e-6)  # old + (new - old) is rounded
    assert np.abs(bits(learned.vars) - bits(plain.vars)).max() > 1e-3
    assert set(bits(still.clients.kept[1])) <= {0.0, 1.0}  # 0: never visited


def test_weights_stay_between_zero_and_one(population, learned):
    visited = np.asarray(learned.clients.visited)
    weights = bits(jax.tree.map(lambda leaf: np.asarray(leaf)[visited], learned.clients.kept[1]))
    assert weights.min() == 0.0  # some met either bound
    assert weights.max() == 1.0
    assert ((weights > 0) & (weights < 1)).any()


def test_only_adaptive_parameters_are_kept_and_blended(population, learned):
    old, weights = learned.clients.kept
    paths = lambda tree: {local.paths.path_of(path) for path, _ in jax.tree_util.tree_flatten_with_path(tree)[0]}
    assert paths(weights) == paths(old.params) == {"head/bias", "head/kernel"}
    row = int(np.flatnonzero(np.asarray(learned.clients.visited))[0])
    own, shared = learned.personal(population.ids[row]).vars.params, learned.vars.params
    np.testing.assert_array_equal(bits(own["body"]), bits(shared["body"]))
    for name in ("bias", "kernel"):
        mine, w = (np.asarray(tree["head"][name])[row] for tree in (old.params, weights))
        new = np.asarray(shared["head"][name])
        np.testing.assert_allclose(np.asarray(own["head"][name]), mine + (new - mine) * w, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_weights_of_zero_are_local_training(population, model):
    algorithm = pfl.algorithms.fedala(model, optax.sgd(0.1), adaptive="*", weight_lr=0.0, **WORK)
    closed = algorithm._replace(
        init_client=lambda key, sent: (sent.vars, jax.tree.map(jnp.zeros_like, sent.vars.params))
    )
    alone = run(pfl.algorithms.local_only(model, optax.sgd(0.1), **WORK), population)
    # Whoever first takes part later starts from what is sent then, so only the start is common: nothing moves it.
    ((client, _),) = closed.passes
    held = closed._replace(passes=((client, lambda key, server, aggregate: (server, {})),))
    np.testing.assert_array_equal(bits(run(held, population).clients.kept[0]), bits(alone.clients.kept))


def test_an_unseen_client_takes_what_is_sent(population, model, learned):
    (row,) = np.flatnonzero(~learned.seen)[:1]
    own = learned.personal(population.ids[row]).vars
    np.testing.assert_allclose(bits(own), bits(learned.vars), rtol=0, atol=1e-6)


def test_bad_arguments(population, model):
    with pytest.raises(pfl.PflError, match="weight_steps: expected a whole number of at least 1, got 0"):
        pfl.algorithms.fedala(model, weight_steps=0)
    with pytest.raises(pfl.PflError, match="pattern 'tail/\\*': expected it to match some parameters, got none of"):
        run(pfl.algorithms.fedala(model, adaptive="tail/*", **WORK), population)
