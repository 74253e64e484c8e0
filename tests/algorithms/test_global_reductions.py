"""Global methods that are FedAvg in a special case, bit for bit, in float32 on a network."""

import numpy as np
import optax
import pytest

import pfljax as pfl
from tests.support.runs import bits, run
from tests.support.zoo import tiny_model

WORK = {"epochs": 2, "batch": 4}
SGD = optax.sgd(0.1)
CASES = {
    "fedprox": lambda model: pfl.algorithms.fedprox(model, SGD, mu=0.0, **WORK),
    "fedavgm": lambda model: pfl.algorithms.fedavgm(model, SGD, momentum=0.0, **WORK),
    "mimelite": lambda model: pfl.algorithms.mimelite(model, SGD, **WORK),
}


@pytest.fixture(scope="module")
def fedavg(population):
    return pfl.algorithms.fedavg(tiny_model(population), SGD, **WORK)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_bit_for_bit(name, population, fedavg):
    found = run(CASES[name](tiny_model(population)), population, cohort=5)
    np.testing.assert_array_equal(bits(found.vars), bits(run(fedavg, population, cohort=5).vars))


@pytest.mark.slow
def test_scaffolds_first_round_is_fedavgs(population, fedavg):
    """All variates are zero; the second round is another."""
    scaffold = pfl.algorithms.scaffold(tiny_model(population), lr=0.1, weighting="examples", **WORK)
    for rounds, is_same in ((1, True), (2, False)):
        found, expected = (run(algorithm, population, cohort=5, rounds=rounds).vars for algorithm in (scaffold, fedavg))
        assert np.array_equal(bits(found), bits(expected)) == is_same
