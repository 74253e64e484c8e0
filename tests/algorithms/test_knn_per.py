"""kNN-Per: brute force in numpy gives the same probabilities; both ends of lam are what they should be."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import pfljax as pfl
from pfljax.engine.place import max_count, placed_on_host, shard_of
from tests.support.zoo import quadratic_model

WORK = {"epochs": 2, "batch": 4}
HOW = {"cohort": 5, "rounds": 3, "seed": 2, "devices": 2}
NUM = 4


@pytest.fixture(scope="module")
def model(population):
    return pfl.models.mlp(population, (7,), activation=jnp.tanh)  # no two rows with the same features


@pytest.fixture(scope="module")
def fedavg(population, model):
    return pfl.simulate(pfl.algorithms.fedavg(model, optax.sgd(0.1), **WORK), population, **HOW)


@pytest.fixture(scope="module")
def made(population, model):
    """(lam, neighbours, ...) -> a result, trained once: kNN-Per changes no training."""
    trained = pfl.simulate(pfl.algorithms.knn_per(model, optax.sgd(0.1), **WORK), population, **HOW)

    def make(**arguments):
        algorithm = pfl.algorithms.knn_per(model, optax.sgd(0.1), **arguments, **WORK)
        server = trained.server._replace(hyper={"lam": jnp.float32(algorithm.hyper["lam"])})
        return replace(trained, algorithm=algorithm, server=server)

    return make


def batch_of(rows) -> dict:
    return {name: jnp.asarray(x) for name, x in rows.items()} | {"mask": jnp.ones(len(rows["y"]), bool)}


def store_of(result, row: int):
    """One client's store, made without a program of its own."""
    placed = jax.tree.map(jnp.asarray, placed_on_host(result.population))
    shard = shard_of(placed, jnp.int32(row), jnp.int32(1), max_count(result.population))
    sent = result.algorithm.send(result.server, row)
    return result.algorithm.personal[0](jax.random.key(0), sent, (), shard)


def probabilities(result, store, rows) -> np.ndarray:
    return np.exp(np.asarray(result.algorithm.predict(store, batch_of(rows)), np.float64))


def shared(model, vars, rows) -> tuple[np.ndarray, np.ndarray]:
    """(features, probabilities) of the shared model."""
    batch, key = batch_of(rows), jax.random.key(0)
    logits = np.asarray(model.apply(vars, batch, key, False)[0], np.float64)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(model.features.apply(vars, batch, key, False)[0], np.float64), weights / weights.sum(
        1, keepdims=True
    )


def brute(model, vars, stored, rows, lam, neighbours, scale) -> np.ndarray:
    """One query and one neighbour at a time."""
    known, _ = shared(model, vars, stored)
    found, plain = shared(model, vars, rows)
    mixed = []
    for query, own in zip(found, plain, strict=True):
        distances = sorted(
            (float(np.sum((query - each) ** 2)), int(y)) for each, y in zip(known, stored["y"], strict=True)
        )
        votes = np.zeros(NUM)
        for distance, label in distances[:neighbours]:
            votes[label] += np.exp(-distance / (scale * known.shape[1]))
        mixed.append(lam * votes / votes.sum() + (1 - lam) * own)
    return np.array(mixed)


def test_training_is_fedavgs(made, fedavg):
    for a, b in zip(jax.tree.leaves(made().vars), jax.tree.leaves(fedavg.vars), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.parametrize(("lam", "neighbours", "scale"), [(0.6, 3, 1.0), (0.9, 10, 0.05), (0.5, 10, 0.3)])
def test_brute_force_agrees(population, model, made, lam, neighbours, scale):
    """Clients of 2 to 12 train rows: some have fewer than `neighbours`."""
    result = made(lam=lam, neighbours=neighbours, scale=scale)
    sizes = population.sizes("train")
    few, many = int(np.argmin(sizes)), int(np.argmax(sizes))
    assert sizes[few] < 10 < sizes[many]
    for row in (few, many, 2):
        stored, rows = (population.client(population.ids[row], split) for split in ("train", "test"))
        expected = brute(model, result.vars, stored, rows, lam, neighbours, scale)
        np.testing.assert_allclose(probabilities(result, store_of(result, row), rows), expected, rtol=0, atol=2e-6)
        if row == many:  # one neighbour alone votes alike at any scale
            other = brute(model, result.vars, stored, rows, lam, neighbours, 3 * scale)
            assert np.abs(other - expected).max() > 1e-3


@pytest.mark.slow
def test_the_engine_makes_the_same_store(population, made):
    result = made(neighbours=3)
    rows = population.client("c2", "test")
    own = probabilities(result, result.personal("c2", steps=1), rows)
    np.testing.assert_allclose(own, probabilities(result, store_of(result, 2), rows), rtol=0, atol=1e-6)


def test_lam_zero_is_the_shared_model(population, model, made):
    rows, result = population.client("c0", "test"), made(lam=0.0)
    _, plain = shared(model, result.vars, rows)
    np.testing.assert_allclose(probabilities(result, store_of(result, 0), rows), plain, rtol=0, atol=1e-6)


def test_one_neighbour_knows_what_is_stored(population, made):
    result = made(lam=1.0, neighbours=1)
    for row in range(4):
        stored = population.client(population.ids[row], "train")
        found = probabilities(result, store_of(result, row), stored)
        np.testing.assert_allclose(found, np.eye(NUM)[stored["y"]], rtol=0, atol=1e-6)


@pytest.mark.parametrize("lam", [0.3, 1.0])
def test_rows_sum_to_one(population, made, lam):
    result = made(lam=lam)
    for row in range(4):
        found = probabilities(result, store_of(result, row), population.client(population.ids[row], "test"))
        np.testing.assert_allclose(found.sum(axis=1), 1, rtol=0, atol=1e-5)


def test_without_stored_rows_it_is_the_shared_model(population, model, made):
    result = made(lam=1.0)
    rows, store = population.client("c0", "test"), store_of(result, 0)
    empty = store._replace(mask=jnp.zeros_like(store.mask))
    _, plain = shared(model, result.vars, rows)
    np.testing.assert_allclose(probabilities(result, empty, rows), plain, rtol=0, atol=1e-6)
    assert np.abs(probabilities(result, store, rows) - plain).max() > 1e-2


def test_a_small_store_holds_some_of_the_rows(population, model, made):
    row = int(np.argmax(population.sizes("train")))
    result = made(neighbours=2, capacity=4)
    store, stored = store_of(result, row), population.client(population.ids[row], "train")
    known, _ = shared(model, result.vars, stored)
    gaps = np.abs(np.asarray(store.features)[:, None] - known[None]).max(axis=2)
    who = gaps.argmin(axis=1)
    assert gaps.min(axis=1).max() < 1e-5
    assert len(set(who.tolist())) == 4
    np.testing.assert_array_equal(np.asarray(store.labels), stored["y"][who])
    assert np.asarray(store.mask).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lam": 1.5}, "lam: expected a number from 0 to 1, got 1.5"),
        ({"lam": float("nan")}, "lam: expected a number from 0 to 1, got nan"),
        ({"neighbours": 0}, "neighbours: expected a whole number of at least 1, got 0"),
        ({"neighbours": 9, "capacity": 8}, "capacity: expected a whole number of at least 9, got 8"),
        ({"scale": 0.0}, "scale: expected a positive number, got 0.0"),
    ],
)
def test_bad_arguments(model, arguments, message):
    with pytest.raises(pfl.PflError, match=message):
        pfl.algorithms.knn_per(model, **arguments)


def test_a_model_without_features():
    with pytest.raises(pfl.PflError, match="knn_per: expected a model with features, got none"):
        pfl.algorithms.knn_per(quadratic_model(3))
