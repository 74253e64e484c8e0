"""FedFomo: nobody helps one's double or a client without validation rows; who helps is found, and stays a client."""

from dataclasses import replace
from functools import partial

import jax
import numpy as np
import optax
import pytest

import pfljax as pfl
from pfljax import keys
from pfljax.engine.start import initial_server
from pfljax.types import Census
from tests.support import runs
from tests.support.runs import bits
from tests.support.zoo import quadratic_model, quadratics

WORK = {"epochs": 1, "batch": 4}
run = partial(runs.run, cohort=5, rounds=5)


@pytest.mark.slow
def test_without_validation_rows_everybody_trains_alone(population, model):
    bare = replace(population, bounds=np.stack([population.bounds[:, 1]] * 2, axis=1))
    assert not bare.sizes("validation").any()
    found = run(pfl.algorithms.fedfomo(model, optax.sgd(0.1), candidates=3, **WORK), bare)
    alone = run(pfl.algorithms.local_only(model, optax.sgd(0.1), **WORK), bare)
    visited = np.asarray(alone.clients.visited)[: bare.num_clients]
    take = lambda tree: bits(jax.tree.map(lambda leaf: np.asarray(leaf)[: bare.num_clients][visited], tree))
    np.testing.assert_array_equal(take(found.server.extra.every), take(alone.clients.kept))


def test_identical_clients_keep_their_own_model():
    """All models are one at every round, so no weight is positive: each is its own local training."""
    with jax.enable_x64(True):
        one, matrices, centres = quadratics(1, 3)
        rows = {"x": np.tile(one.arrays["x"][:1], (6, 1))}
        twins = pfl.data.Population.from_clients({f"t{i}": rows for i in range(4)}, split=(0.5, 0.5, 0.0))
        algorithm = pfl.algorithms.fedfomo(quadratic_model(3, 0.7), optax.sgd(0.1), candidates=3, steps=2, batch=None)
        result = run(algorithm, twins, cohort=4, unseen=0.0, rounds=3)
    step = np.eye(3) - 0.1 * matrices[0]
    expected = centres[0] + np.linalg.matrix_power(step, 6) @ (np.full(3, 0.7) - centres[0])
    found = np.asarray(result.server.extra.every.params["w"])
    np.testing.assert_allclose(found, np.tile(expected, (4, 1)), rtol=0, atol=1e-12)
    affinity = np.asarray(result.server.extra.affinity)
    assert np.abs(affinity[~np.eye(4, dtype=bool)]).max() <= 1e-5  # the noise that breaks ties


def test_those_who_helped_most_are_offered_but_never_oneself_or_an_unseen_client(population, model):
    algorithm = pfl.algorithms.fedfomo(model, optax.sgd(0.5), candidates=3, **WORK)
    for block in pfl.rounds(algorithm, population, rounds=6, cohort=5, unseen=0.4, seed=1, devices=2, block=3):
        result = block.result()
        for row in range(population.num_clients):
            offered = np.asarray(algorithm.send(result.server, row).extra.rows)
            assert len(set(offered.tolist())) == 3
            assert row not in offered
            assert result.seen[offered].all()
            assert set(offered.tolist()) == set(np.argsort(-np.asarray(result.server.extra.affinity)[row])[:3].tolist())


def test_as_many_candidates_as_there_can_be(population, model):
    """With every other seen client on offer the ties of the excluded would show."""
    algorithm = pfl.algorithms.fedfomo(model, candidates=5, **WORK)
    seen = np.arange(10) < 6
    server = initial_server(algorithm, Census(10, seen, population.sizes("train")), keys.seeds(0))
    for row in range(10):
        offered = set(np.asarray(algorithm.send(server, row).extra.rows).tolist())
        assert offered < set(range(6)) or row >= 6
        assert offered <= set(range(6)) - {row}


@pytest.mark.parametrize(
    ("total", "seen", "message"),
    [
        (1001, 1001, "expected more than 5 seen clients .candidates. and at most 1000 in all, got 1001 of 1001"),
        (8, 5, "expected more than 5 seen clients .candidates. and at most 1000 in all, got 5 of 8"),
    ],
)
def test_too_many_and_too_few_clients(model, total, seen, message):
    census = Census(total, np.arange(total) < seen, np.ones(total, int))
    with pytest.raises(pfl.PflError, match=message):
        initial_server(pfl.algorithms.fedfomo(model), census, keys.seeds(0))


def test_bad_arguments(model):
    with pytest.raises(pfl.PflError, match="candidates: expected a whole number of at least 1, got 0"):
        pfl.algorithms.fedfomo(model, candidates=0)
