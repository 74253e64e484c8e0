"""FedProto: without a pull it is local training; prototypes are what numpy says; the pull is eq. 7's."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import pfljax as pfl
from pfljax import keys
from pfljax.engine.place import max_count, placed_on_host, shard_of
from pfljax.engine.start import initial_server
from pfljax.types import Aggregate, Census
from tests.support.runs import bits
from tests.support.zoo import people, quadratic_model, tiny_model

WORK = {"epochs": 1, "batch": 4}
SIZE, NUM = 5, 4


def features(params, x: np.ndarray) -> np.ndarray:
    layer = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params["body"])
    layer = next(iter(layer.values())) if isinstance(layer, dict) else layer[0]
    return np.maximum(x @ layer["kernel"] + layer["bias"], 0)


@pytest.mark.slow
def test_without_a_pull_it_is_local_training(population, model):
    how = {"cohort": 5, "rounds": 4, "seed": 2, "devices": 2}
    run = lambda algorithm: pfl.simulate(algorithm, population, **how).clients.kept
    alone = run(pfl.algorithms.local_only(model, optax.sgd(0.1), **WORK))
    np.testing.assert_array_equal(
        bits(run(pfl.algorithms.fedproto(model, optax.sgd(0.1), lam=0.0, **WORK))), bits(alone)
    )
    drawn = run(pfl.algorithms.fedproto(model, optax.sgd(0.1), lam=5.0, **WORK))
    assert np.abs(bits(drawn) - bits(alone)).max() > 1e-3


def test_prototypes_are_the_means_of_the_cohorts_features():
    """Round by round, after training; a class that nobody had keeps what it was."""
    num = 7
    population = people(num_classes=num)
    algorithm = pfl.algorithms.fedproto(tiny_model(population), optax.sgd(0.1), **WORK)
    how = {"cohort": 2, "rounds": 4, "seed": 0, "devices": 2, "block": 1}
    expected, known, is_missing = np.zeros((num, SIZE)), np.zeros(num, bool), []
    for block in pfl.rounds(algorithm, population, **how):
        result = block.result()
        found, labels = [], []
        for row in block.rows[0]:
            mine = population.client(population.ids[row], "train")
            own = jax.tree.map(lambda leaf, row=row: np.asarray(leaf)[row], result.clients.kept)
            found.append(features(own.params, mine["x"]))
            labels.append(mine["y"])
        found, labels = np.concatenate(found), np.concatenate(labels)
        for label in set(labels.tolist()):
            expected[label] = found[labels == label].mean(axis=0)
        known[labels] = True
        is_missing.append((known & ~np.isin(np.arange(num), labels)).any())
        prototypes, flags = result.server.extra
        np.testing.assert_allclose(prototypes, expected, rtol=0, atol=1e-5)
        np.testing.assert_array_equal(np.asarray(flags), known)
    assert any(is_missing)


def test_a_missing_class_keeps_its_prototype(population, model):
    ((_, step),) = pfl.algorithms.fedproto(model).passes
    census = Census(2, np.ones(2, bool), np.ones(2, int))
    server = initial_server(pfl.algorithms.fedproto(model), census, keys.seeds(0))
    old = jnp.arange(20.0).reshape(NUM, SIZE)
    total, count = jnp.full((NUM, SIZE), 6.0), jnp.array([2.0, 0.0, 3.0, 0.0])
    server = server._replace(extra=(old, jnp.array([1.0, 1.0, 0.0, 0.0])))
    moved, _ = step(jax.random.key(0), server, Aggregate((total, count), jnp.float32(2), jnp.float32(2)))
    prototypes, known = moved.extra
    np.testing.assert_array_equal(prototypes, np.stack([np.full(SIZE, 3.0), old[1], np.full(SIZE, 2.0), old[3]]))
    assert known.tolist() == [1, 1, 1, 0]


@pytest.mark.parametrize("batch", [32, None])
def test_one_step_descends_the_loss_and_the_pull(population, model, batch):
    """On all rows at once, by a loss written out here; a class without a prototype pulls nobody."""
    lam, lr, row = 0.7, 0.3, 4
    algorithm = pfl.algorithms.fedproto(model, optax.sgd(lr), lam=lam, steps=1, batch=batch)
    census = Census(population.num_clients, np.ones(10, bool), population.sizes("train"))
    server = initial_server(algorithm, census, keys.seeds(3))
    prototypes = np.random.default_rng(0).normal(size=(NUM, SIZE)).astype(np.float32)
    known = np.array([1.0, 0.0, 1.0, 1.0], np.float32)
    sent = algorithm.send(server._replace(extra=(jnp.asarray(prototypes), jnp.asarray(known))), row)
    placed = jax.tree.map(jnp.asarray, placed_on_host(population))
    shard = shard_of(placed, jnp.int32(row), jnp.int32(1), max_count(population))
    ((client, _),) = algorithm.passes
    _, moved, _ = jax.jit(lambda sent: client(jax.random.key(0), sent, sent.vars, shard))(sent)
    mine = population.client(population.ids[row], "train")
    x, y = jnp.asarray(mine["x"]), np.asarray(mine["y"])
    assert 1 in y
    assert len(set(y.tolist())) > 1

    def objective(params):
        now = sent.vars._replace(params=params)
        batch = {"x": x, "y": jnp.asarray(y), "mask": jnp.ones(len(y), bool)}
        logits = model.apply(now, batch, jax.random.key(0), True)[0]
        found, *_ = model.features.apply(now, batch, jax.random.key(0), True)
        loss = -jnp.take_along_axis(jax.nn.log_softmax(logits), jnp.asarray(y)[:, None], axis=1).mean()
        pull = sum(known[label] * jnp.sum((found[i] - prototypes[label]) ** 2) for i, label in enumerate(y))
        return loss + lam * pull / (SIZE * len(y)), loss

    grads, _ = jax.grad(objective, has_aux=True)(sent.vars.params)
    expected = jax.tree.map(lambda w, g: w - lr * g, sent.vars.params, grads)
    np.testing.assert_allclose(bits(moved.params), bits(expected), rtol=0, atol=2e-6)
    plain = jax.grad(lambda params: objective(params)[1])(sent.vars.params)
    without = jax.tree.map(lambda w, g: w - lr * g, sent.vars.params, plain)
    assert np.abs(bits(without) - bits(expected)).max() > 1e-3


def test_bad_arguments(model):
    with pytest.raises(pfl.PflError, match="fedproto: expected a model with features, got none; use pfl"):
        pfl.algorithms.fedproto(quadratic_model(3))
    with pytest.raises(pfl.PflError, match="lam: expected a number of at least 0, got -1"):
        pfl.algorithms.fedproto(model, lam=-1.0)
