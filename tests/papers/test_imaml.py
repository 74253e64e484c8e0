"""iMAML. Rajeswaran et al., NeurIPS 2019, Algorithms 1 and 2, in numpy; the system is (I + H / lam) g = grad."""

import numpy as np
import optax

import pfljax as pfl
from tests.support import parity

LAM, ALPHA, BETA, INNER, CG = 2.0, 0.1, 0.1, 4, 2


def conjugate_gradient(matrix, right, steps):
    x, residual = np.zeros_like(right), right.copy()
    direction = residual.copy()
    for _ in range(steps):
        along = matrix @ direction
        size = (residual @ residual) / (direction @ along)
        x, before = x + size * direction, residual
        residual = residual - size * along
        direction = residual + (residual @ residual) / (before @ before) * direction
    return x


def solution(client, theta, is_pulled):
    phi = theta.copy()
    for _ in range(INNER):
        phi = phi - ALPHA * (client.grad(phi) + is_pulled * LAM * (phi - theta))
    return phi


def imaml(clients, cohorts, theta, cg_steps=CG, is_pulled=True, damp=0.0):
    for cohort in cohorts:
        ends = []
        for k in cohort:
            w = theta.copy()
            for _ in range(clients[k].steps):
                phi = solution(clients[k], w, is_pulled)
                system = (1 + damp) * np.eye(parity.DIM) + clients[k].a / LAM
                w = w - BETA * conjugate_gradient(system, clients[k].grad(phi), cg_steps)
            ends.append(w)
        theta = np.mean(ends, axis=0)
    return theta


def test_three_rounds():
    algorithm = pfl.algorithms.imaml(
        parity.model(), optax.sgd(BETA), lam=LAM, inner_lr=ALPHA, inner_steps=INNER, cg_steps=CG, epochs=1, batch=2
    )
    ours = parity.run(algorithm)
    np.testing.assert_allclose(ours.w, imaml(ours.clients, ours.cohorts, ours.start), rtol=0, atol=1e-12)
    # Bugs seen elsewhere: a damped system, and an inner solve without the pull towards theta.
    for bug in ({"damp": 1.0}, {"is_pulled": False}, {"cg_steps": 1}):
        assert np.abs(imaml(ours.clients, ours.cohorts, ours.start, **bug) - ours.w).max() > 1e-4, bug
