"""Local training hears of nobody else."""

from dataclasses import replace

import jax
import numpy as np
import optax

import pfljax as pfl
from tests.support.runs import bits
from tests.support.zoo import people, tiny_model


def test_other_clients_data_change_nothing():
    population = people()
    model = tiny_model(population)
    row = 3
    begin, end = population.offsets[row : row + 2]
    x = -2 * population.arrays["x"]
    x[begin:end] = population.arrays["x"][begin:end]
    others = replace(population, arrays=population.arrays | {"x": x})
    algorithm = pfl.algorithms.local_only(model, optax.sgd(0.1), epochs=2, batch=4)
    arguments = {"cohort": population.num_clients, "rounds": 3, "unseen": 0.0, "devices": 2}
    ours, theirs = (pfl.simulate(algorithm, who, **arguments) for who in (population, others))
    own = lambda result, row: bits(jax.tree.map(lambda leaf: np.asarray(leaf)[row], result.clients.kept))
    np.testing.assert_array_equal(own(ours, row), own(theirs, row))
    assert not np.array_equal(own(ours, row + 1), own(theirs, row + 1))
    initial = bits(pfl.simulate(algorithm, population, **(arguments | {"rounds": 1})).vars)
    np.testing.assert_array_equal(bits(ours.vars), initial)
