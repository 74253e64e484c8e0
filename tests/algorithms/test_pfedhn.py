"""pFedHN: a hypernetwork that is a constant is a server optimizer, its chain rule is JAX's, clients never see it."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import pfljax as pfl
from pfljax.types import Aggregate, Census
from tests.support import runs
from tests.support.runs import bits

WORK = {"epochs": 1, "batch": 4}
run = partial(runs.run, cohort=5, rounds=4)


@pytest.fixture(scope="module")
def algorithm(model):
    return pfl.algorithms.pfedhn(model, optax.sgd(0.1), optax.sgd(0.5), embedding=3, hidden=8, **WORK)


@pytest.fixture(scope="module")
def result(population, algorithm):
    return run(algorithm, population, unseen=0.3)


def generate(extra, embedding) -> np.ndarray:
    """A model from an embedding, in float64."""
    weights = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), extra.weights)
    hidden = np.maximum(np.asarray(embedding, np.float64) @ weights["hidden"] + weights["bias"], 0)
    return bits(made_of(weights, hidden))


def made_of(weights, hidden):
    """Parameters from the hidden layer."""
    return jax.tree.map(lambda out, start: np.tensordot(hidden, out, 1) + start, weights["out"], weights["start"])


@pytest.mark.slow
def test_a_constant_is_a_server_optimizer(population, model):
    """Without a hidden layer only "start" can move, as the model of FedOpt does."""
    optimizer = optax.sgd(0.7, momentum=0.5)
    hyper = pfl.algorithms.pfedhn(model, optax.sgd(0.1), optimizer, embedding=3, hidden=4, **WORK)

    def init(*arguments):
        server = hyper.init(*arguments)
        weights = server.extra.weights
        gone = {name: jax.tree.map(jnp.zeros_like, weights[name]) for name in ("hidden", "out")}
        return server._replace(extra=server.extra._replace(weights=weights | gone))

    found = run(hyper._replace(init=init), population)
    plain = run(pfl.algorithms.fedavg(model, optax.sgd(0.1), optimizer, weighting="uniform", **WORK), population)
    weights = found.server.extra.weights
    np.testing.assert_allclose(bits(weights["start"]), bits(plain.vars.params), rtol=0, atol=2e-6)
    np.testing.assert_array_equal(bits(weights["out"]), 0)


def test_the_chain_rule_is_jaxs(algorithm, model, result):
    """One step of the server is -0.5 of the mean over clients of the gradient of <h(e_i), delta_i>."""
    server, rows = result.server, np.array([1, 4, 6])
    generator = np.random.default_rng(0)
    deltas = jax.tree.map(lambda leaf: generator.normal(size=(3, *leaf.shape)).astype(np.float32), result.vars.params)
    for leaf in jax.tree.leaves(deltas):
        leaf[1] = 0  # of one that does not count
    mask = jnp.array([True, False, True])
    seen = Aggregate(
        (jax.tree.map(jnp.asarray, deltas), server.vars.stats), jnp.float32(2), jnp.float32(3), jnp.asarray(rows), mask
    )
    ((_, step),) = algorithm.passes
    moved, _ = step(jax.random.key(0), server, seen)
    moving = (server.extra.weights, server.extra.embeddings)

    def model_of(moving, row):
        weights, embeddings = moving
        hidden = jax.nn.relu(embeddings[row] @ weights["hidden"] + weights["bias"])
        made = lambda out, start: jnp.einsum("h,h...->...", hidden, out) + start
        return jax.tree.map(made, weights["out"], weights["start"])

    delta_of = lambda index: jax.tree.map(lambda leaf: leaf[index], deltas)
    pull = lambda index: jax.vjp(lambda moving: model_of(moving, rows[index]), moving)[1](delta_of(index))[0]
    pulled = [pull(0), pull(2)]
    expected = jax.tree.map(lambda x, *grads: x - 0.5 * sum(grads) / 2, moving, *pulled)
    found = (moved.extra.weights, moved.extra.embeddings)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)
    still = np.setdiff1d(np.arange(len(server.extra.embeddings)), rows[[0, 2]])
    np.testing.assert_array_equal(moved.extra.embeddings[still], server.extra.embeddings[still])
    assert np.abs(moved.extra.embeddings[1] - server.extra.embeddings[1]).max() > 1e-4


def test_every_client_has_the_model_of_its_embedding(population, result):
    extra = result.server.extra
    for row in np.flatnonzero(result.seen)[:3]:
        own = result.personal(population.ids[row]).vars
        np.testing.assert_allclose(bits(own.params), generate(extra, extra.embeddings[row]), rtol=0, atol=1e-5)


def test_an_unseen_client_has_that_of_the_mean_embedding(population, result):
    extra = result.server.extra
    mean = np.asarray(extra.embeddings)[result.seen].mean(axis=0)
    for row in np.flatnonzero(~result.seen):
        own = bits(result.personal(population.ids[row]).vars.params)
        np.testing.assert_allclose(own, generate(extra, mean), rtol=0, atol=1e-5)
        assert np.abs(own - generate(extra, extra.embeddings[row])).max() > 1e-4


def test_clients_are_sent_a_model_and_no_hypernetwork(algorithm, model, result):
    sent = algorithm.send(result.server, 0)
    assert sent.extra == ()
    expected = jax.eval_shape(model.init, jax.random.key(0))
    assert jax.tree.map(jnp.shape, sent.vars) == jax.tree.map(jnp.shape, expected)


def test_it_starts_near_the_initial_model(algorithm, model):
    vars = model.init(jax.random.key(5))
    census = Census(4, np.ones(4, bool), np.ones(4, int))
    server = algorithm.init(jax.random.key(0), vars, census, {})
    sent = [bits(algorithm.send(server, row).vars.params) for row in range(4)]
    assert np.abs(np.stack(sent) - bits(vars.params)).max() < 0.1
    assert np.abs(sent[0] - sent[1]).max() > 1e-4


@pytest.mark.parametrize("name", ["embedding", "hidden"])
def test_bad_arguments(model, name):
    with pytest.raises(pfl.PflError, match=f"{name}: expected a whole number of at least 1, got 0"):
        pfl.algorithms.pfedhn(model, **{name: 0})
