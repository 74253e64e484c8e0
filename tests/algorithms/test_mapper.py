"""MAPPER at the ends of its mixing weight: FedAvg, and local training beside a model that nobody moves."""

from functools import partial

import numpy as np
import optax
import pytest

import pfljax as pfl
from pfljax import keys
from tests.support import closed, runs
from tests.support.runs import bits

WORK = {"epochs": 2, "batch": 4}
run = partial(runs.run, cohort=5)


@pytest.mark.slow
def test_weight_zero_is_fedavg(population, model):
    ours = run(pfl.algorithms.mapper(model, optax.sgd(0.1), candidates=(0.0,), lr=0.3, **WORK), population)
    fedavg = run(pfl.algorithms.fedavg(model, optax.sgd(0.1), weighting="uniform", **WORK), population)
    np.testing.assert_array_equal(bits(ours.vars), bits(fedavg.vars))


@pytest.mark.slow
def test_weight_one_is_local_training(population, model):
    ours = run(pfl.algorithms.mapper(model, optax.sgd(0.3), candidates=(1.0,), lr=0.1, **WORK), population)
    alone = pfl.algorithms.local_only(model, optax.sgd(0.1), **WORK)
    ((client, server),) = alone.passes
    named = lambda key, sent, mine, shard: client(
        keys.use(key, "personal"), sent, mine, shard
    )  # v has a key of its own
    local = run(alone._replace(passes=((named, server),)), population)
    np.testing.assert_array_equal(bits(ours.vars), bits(local.vars))  # nobody moved it
    np.testing.assert_allclose(bits(ours.clients.kept[0]), bits(local.clients.kept), rtol=1e-6, atol=1e-7)


def test_personal_model_is_the_mixture():
    zoo = closed.Zoo(3)
    algorithm = pfl.algorithms.mapper(closed.model(), optax.sgd(0.1), lr=0.2, steps=3, batch=None)
    result = zoo.run(algorithm, 3)
    vars, lams = result.clients.kept
    lam, v = np.asarray(lams)[1], np.asarray(vars.params["w"])[1]
    mixed = lambda v: lam * v + (1 - lam) * closed.shared(result)
    np.testing.assert_allclose(closed.personal(result, 1, 0), mixed(v), rtol=0, atol=1e-13)
    moved = v - 0.2 * lam * zoo.a[1] @ (mixed(v) - zoo.c[1])
    np.testing.assert_allclose(closed.personal(result, 1, 1), mixed(moved), rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        ((), "candidates: expected at least one mixing weight, got none"),
        ((0.5, 1.5), "candidates: expected a number from 0 to 1, got 1.5"),
        ((float("nan"),), "candidates: expected a number from 0 to 1, got nan"),
    ],
)
def test_bad_arguments(candidates, message):
    with pytest.raises(pfl.PflError, match=message):
        pfl.algorithms.mapper(closed.model(), candidates=candidates, steps=1)
