"""APFL: the ends of alpha, its descent and its bounds; and parameters are mixed, not outputs."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import pfljax as pfl
from pfljax.types import Vars
from tests.support import closed, runs
from tests.support.runs import bits

WORK = {"epochs": 2, "batch": 4}
run = partial(runs.run, cohort=5)


@pytest.fixture(scope="module")
def model(population):
    return pfl.models.mlp(population, (5,))


@pytest.fixture(scope="module")
def fedavg(population, model):
    return run(pfl.algorithms.fedavg(model, optax.sgd(0.1), weighting="uniform", **WORK), population)


@pytest.fixture(scope="module")
def adaptive(population, model):
    """A rate of alpha far too large: it runs into its bounds."""
    return run(pfl.algorithms.apfl(model, optax.sgd(0.1), alpha=0.5, alpha_lr=50.0, **WORK), population)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_the_ends_of_alpha(population, model, fedavg, alpha):
    """0: everybody predicts with FedAvg's model; 1: v is local training. The shared model is FedAvg's in any case."""
    result = run(pfl.algorithms.apfl(model, optax.sgd(0.1), alpha=alpha, lr=0.1, **WORK), population)
    np.testing.assert_array_equal(bits(result.vars), bits(fedavg.vars))
    vars, alphas = result.clients.kept
    visited = np.asarray(result.clients.visited)
    client = population.ids[int(np.flatnonzero(visited)[0])]
    own = result.personal(client).vars
    np.testing.assert_array_equal(np.asarray(alphas)[visited], np.full(visited.sum(), alpha, np.float32))
    if alpha == 0:
        np.testing.assert_array_equal(bits(own), bits(result.vars))
        return
    mine = jax.tree.map(lambda leaf: leaf[population.row(client)], vars)
    np.testing.assert_array_equal(bits(own), bits(mine))


@pytest.mark.slow
def test_alpha_one_is_local_training(population, model):
    """With a server that stands still, for everybody begins where it stands."""
    still = {"server_opt": optax.sgd(0.0)}
    ours = run(pfl.algorithms.apfl(model, optax.sgd(0.3), alpha=1.0, lr=0.1, **still, **WORK), population)
    alone = run(pfl.algorithms.local_only(model, optax.sgd(0.1), **WORK), population)
    np.testing.assert_allclose(bits(ours.clients.kept[0]), bits(alone.clients.kept), rtol=1e-6, atol=1e-7)


def test_alpha_stays_between_its_bounds(fedavg, adaptive):
    np.testing.assert_array_equal(bits(adaptive.vars), bits(fedavg.vars))
    alphas = np.asarray(adaptive.clients.kept[1])[np.asarray(adaptive.clients.visited)]
    assert alphas.min() >= 0
    assert alphas.max() <= 1
    assert ((alphas == 0) | (alphas == 1)).any()


def test_alpha_descends_the_mixtures_loss():
    """d f(alpha v + (1 - alpha) w) / d alpha by differences, where v stands still."""
    zoo, alpha, rate = closed.Zoo(1), 0.4, 0.01
    v, w = np.array([0.1, -0.5, 0.8]), np.array([1.0, 0.6, -0.3])
    algorithm = pfl.algorithms.apfl(
        closed.model(), optax.sgd(0.0), alpha=alpha, alpha_lr=rate, lr=0.0, steps=1, batch=None
    )
    algorithm = algorithm._replace(init_client=lambda key, sent: (Vars({"w": jnp.asarray(v)}), sent.hyper["alpha"]))
    found = np.asarray(zoo.run(algorithm, 1, params={"w": w}).clients.kept[1])[0]
    gap = lambda a: a * v + (1 - a) * w - zoo.c[0]
    loss = lambda a: 0.5 * gap(a) @ zoo.a[0] @ gap(a)
    slope = (loss(alpha + 0.01) - loss(alpha - 0.01)) / 0.02  # exact, for the loss is quadratic in alpha
    np.testing.assert_allclose(found, alpha - rate * slope, rtol=0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("hidden", "is_linear"), [((), True), ((5,), False)])
def test_parameters_are_mixed_not_outputs(population, hidden, is_linear):
    """Mixing outputs is the same for a linear model only."""
    model = pfl.models.mlp(population, hidden)
    result = run(pfl.algorithms.apfl(model, optax.sgd(0.3), alpha=0.5, lr=0.5, **WORK), population)
    row = int(np.flatnonzero(np.asarray(result.clients.visited))[0])
    client = population.ids[row]
    batch = {name: jnp.asarray(array) for name, array in population.client(client, "test").items()}
    batch["mask"] = jnp.ones(len(batch["y"]), bool)
    v = jax.tree.map(lambda leaf: jnp.asarray(leaf[row]), result.clients.kept[0])
    half = jax.tree.map(lambda v, w: (v + w) / 2, v, result.vars)
    apply = lambda vars: np.asarray(model.apply(vars, batch, jax.random.key(0), False)[0])
    found = np.asarray(result.algorithm.predict(result.personal(client), batch))
    np.testing.assert_allclose(found, apply(half), rtol=1e-5, atol=1e-6)
    outputs = (apply(v) + apply(result.vars)) / 2
    assert (np.abs(outputs - found).max() < 1e-5) == is_linear


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": 1.1}, "alpha: expected a number from 0 to 1, got 1.1"),
        ({"alpha": float("nan")}, "alpha: expected a number from 0 to 1, got nan"),
        ({"alpha_lr": -1.0}, "alpha_lr: expected a number of at least 0, got -1.0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(pfl.PflError, match=message):
        pfl.algorithms.apfl(closed.model(), steps=1, **arguments)
