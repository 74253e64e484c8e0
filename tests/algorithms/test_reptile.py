"""Reptile is FedAvg with a server rate, bit for bit; its point is FedAvg's, whatever the step size."""

import numpy as np
import optax
import pytest

import pfljax as pfl
from tests.support import closed
from tests.support.runs import bits
from tests.support.zoo import people, tiny_model


@pytest.mark.slow
def test_reptile_is_fedavg_with_a_server_rate():
    population = people()
    model, work = tiny_model(population), {"epochs": 2, "batch": 4}
    arguments = {"cohort": 5, "rounds": 3, "seed": 2, "devices": 2}
    reptile = pfl.algorithms.reptile(model, optax.sgd(0.1), step_size=0.3, **work)
    fedavg = pfl.algorithms.fedavg(model, optax.sgd(0.1), optax.sgd(0.3), weighting="uniform", **work)
    ours, theirs = (pfl.simulate(algorithm, population, **arguments) for algorithm in (reptile, fedavg))
    np.testing.assert_array_equal(bits(ours.vars), bits(theirs.vars))


def test_learned_point_and_adaptation():
    """sum (I - (I - lr A_i)^K) (phi - c_i) = 0, and a client's own model is K steps further."""
    lr, steps, zoo = 0.1, 5, closed.Zoo(4)
    result = zoo.run(
        pfl.algorithms.reptile(closed.model(), optax.sgd(lr), step_size=0.4, steps=steps, batch=None), 1000
    )
    left = [np.linalg.matrix_power(closed.EYE - lr * a, steps) for a in zoo.a]
    phi = closed.solve([closed.EYE - each for each in left], zoo.c)
    np.testing.assert_allclose(closed.shared(result), phi, rtol=0, atol=1e-10)
    assert np.abs(phi - closed.solve(zoo.a, zoo.c)).max() > 1e-3
    expected = zoo.c[1] + left[1] @ (phi - zoo.c[1])
    np.testing.assert_allclose(closed.personal(result, 1, steps), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("step_size", [-0.1, float("nan")])
def test_bad_step_size(step_size):
    with pytest.raises(pfl.PflError, match=f"step_size: expected a number of at least 0, got {step_size}"):
        pfl.algorithms.reptile(closed.model(), step_size=step_size, steps=1)
