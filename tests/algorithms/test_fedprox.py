"""FedProx: an exact inner solution, a pull that holds everybody back, bad input."""

import numpy as np
import optax
import pytest

import pfljax as pfl
from tests.support import parity


@pytest.mark.parametrize(("mu", "lr"), [(0.7, 0.1), (1e6, 1e-6)])
def test_enough_steps_solve_the_pulled_problem(mu, lr):
    """One round from w ends at sum p_i (A_i + mu I)^-1 (A_i c_i + mu w); under a huge mu that is w."""
    ours = parity.run(
        pfl.algorithms.fedprox(parity.model(), optax.sgd(lr), mu=mu, steps=500, batch=2), rounds=1, cohort=5
    )
    left = [np.linalg.solve(k.a + mu * np.eye(parity.DIM), k.a @ k.c + mu * ours.start) for k in ours.clients]
    shares = np.array([k.rows for k in ours.clients], float)
    np.testing.assert_allclose(ours.w, shares @ left / shares.sum(), rtol=0, atol=1e-10)
    moved = np.abs(ours.w - ours.start).max()
    assert moved < 1e-5 if mu > 1 else moved > 0.1


@pytest.mark.parametrize("mu", [-0.1, float("nan")])
def test_bad_input(mu):
    with pytest.raises(pfl.PflError, match=f"mu: expected a number of at least 0, got {mu}"):
        pfl.algorithms.fedprox(parity.model(), mu=mu)
