"""FedBN on a network with batch normalization and dropout: norm leaves and statistics stay where they belong."""

import jax
import numpy as np
import optax
import pytest

import pfljax as pfl
from tests.support.runs import STRONG, bits, run, start
from tests.support.zoo import batch_norm_model, tiny_model

WORK = {"client_opt": optax.sgd(0.1), "epochs": 1, "batch": 8}


@pytest.fixture(scope="module")
def result(population):
    return run(pfl.algorithms.fedbn(batch_norm_model(population), server_opt=STRONG, **WORK), population)


def test_norm_leaves_and_statistics_are_the_clients(population, result):
    before = start(result.algorithm)
    np.testing.assert_array_equal(bits(result.vars.params["norm"]), bits(before.params["norm"]))
    np.testing.assert_array_equal(bits(result.vars.stats), bits(before.stats))
    for part in ("body", "head"):
        assert np.abs(bits(result.vars.params[part]) - bits(before.params[part])).max() > 1e-3
    kept = result.clients.kept
    assert jax.tree.structure(kept.stats) == jax.tree.structure(before.stats)
    assert kept.params["body"] == {"bias": None, "kernel": None} == kept.params["head"]
    taken = np.flatnonzero(np.asarray(result.clients.visited))
    for leaf in jax.tree.leaves((kept.params["norm"], kept.stats)):
        rows = np.asarray(leaf)[taken]
        gaps = np.abs(rows[:, None] - rows[None]).max(axis=-1)
        assert (gaps + np.eye(len(taken)) > 0).all()  # no two clients have the same, as after averaging


def test_an_own_model_holds_its_own_statistics(population, result):
    row = np.flatnonzero(np.asarray(result.clients.visited))[0]
    own = result.personal(population.ids[row]).vars
    np.testing.assert_array_equal(
        bits(own.stats), bits(jax.tree.map(lambda leaf: leaf[row], result.clients.kept.stats))
    )


def test_a_model_without_norm_layers_is_refused(population):
    algorithm = pfl.algorithms.fedbn(tiny_model(population), **WORK)
    with pytest.raises(pfl.PflError, match=r"pattern '\*norm\*': expected it to match a parameter, got none of body/0"):
        run(algorithm, population)
    with pytest.raises(pfl.PflError, match=r"pattern 'layernorm': expected .* got none of .*norm/scale"):
        run(pfl.algorithms.fedbn(batch_norm_model(population), norm="layernorm", **WORK), population)
