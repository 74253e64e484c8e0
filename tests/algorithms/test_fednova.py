"""FedNova: FedAvg where steps are equal, its fixed point where they are not, bad input."""

import numpy as np
import optax
import pytest

import pfljax as pfl
from tests.papers.test_fedavg import fedavg
from tests.support import parity

LR = 0.1


def test_equal_steps_are_fedavg():
    """Everybody reaches as far."""
    ours = parity.run(pfl.algorithms.fednova(parity.model(), optax.sgd(LR), steps=3, batch=2))
    theirs = fedavg(ours.clients, ours.cohorts, ours.start, LR, "examples")
    np.testing.assert_allclose(ours.w, theirs, rtol=0, atol=1e-13)


def fixed_point(clients, lr, is_normalized):
    """The zero of sum r_i (I - (I - lr A_i)^tau_i) (w - c_i), r_i = 1 / tau_i or 1."""
    left = [np.eye(parity.DIM) - np.linalg.matrix_power(np.eye(parity.DIM) - lr * k.a, k.steps) for k in clients]
    left = [m / k.steps if is_normalized else m for m, k in zip(left, clients, strict=True)]
    return np.linalg.solve(sum(left), sum(m @ k.c for m, k in zip(left, clients, strict=True)))


def test_its_error_goes_with_the_rate_where_fedavgs_stays():
    """We reach FedNova's fixed point; a tenth of the rate is a tenth of its error, but not of FedAvg's."""
    algorithm = pfl.algorithms.fednova(parity.model(), optax.sgd(LR), epochs=1, batch=1, weighting="uniform")
    ours = parity.run(algorithm, rounds=2000, cohort=5)
    assert len({k.steps for k in ours.clients}) > 1
    np.testing.assert_allclose(ours.w, fixed_point(ours.clients, LR, True), rtol=0, atol=1e-10)
    best = np.linalg.solve(sum(k.a for k in ours.clients), sum(k.a @ k.c for k in ours.clients))
    error = lambda lr, is_normalized: np.abs(fixed_point(ours.clients, lr, is_normalized) - best).max()
    np.testing.assert_allclose(error(1e-4, True) / error(1e-3, True), 0.1, rtol=0.05)
    assert error(1e-4, True) < 1e-3
    assert error(1e-4, False) > 0.9 * error(1e-3, False) > 0.05
    np.testing.assert_array_less(np.abs(ours.w - best).max(), error(LR, False))


@pytest.mark.parametrize("mu", [-1.0, float("nan")])
def test_bad_input(mu):
    with pytest.raises(pfl.PflError, match=f"mu: expected a number of at least 0, got {mu}"):
        pfl.algorithms.fednova(parity.model(), mu=mu)
