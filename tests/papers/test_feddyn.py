"""FedDyn. Acar et al., ICLR 2021, Algorithm 1 with gradient steps in place of the argmin, in numpy."""

import numpy as np
import optax

import pfljax as pfl
from tests.support import parity

LR, ALPHA = 0.1, 0.6


def feddyn(clients, cohorts, theta, pull=lambda w, theta: ALPHA * (w - theta), divisor=len):
    """(theta, h, [g_i]). pull: the gradient of the quadratic term; divisor: of the clients, for h."""
    h, g = np.zeros_like(theta), [np.zeros_like(theta) for _ in clients]
    for cohort in cohorts:
        ends = []
        for k in cohort:
            w = theta.copy()
            for _ in range(clients[k].steps):
                w = w - LR * (clients[k].grad(w) - g[k] + pull(w, theta))
            g[k] = g[k] - ALPHA * (w - theta)
            ends.append(w)
        h = h - ALPHA * sum(w - theta for w in ends) / divisor(clients)
        theta = np.mean(ends, axis=0) - h / ALPHA
    return theta, h, g


def unsquared(w, theta):
    """The gradient of alpha / 2 |w - theta|."""
    gap = w - theta
    return ALPHA / 2 * gap / max(np.linalg.norm(gap), 1e-12)


def test_three_rounds():
    ours = parity.run(pfl.algorithms.feddyn(parity.model(), optax.sgd(LR), alpha=ALPHA, epochs=1, batch=2))
    assert len({client.steps for client in ours.clients}) > 1
    theirs = lambda **rule: feddyn(ours.clients, ours.cohorts, ours.start, **rule)
    theta, h, g = theirs()
    np.testing.assert_allclose(ours.w, theta, rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours.result.server.extra[0]["w"], h, rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours.result.clients.kept["w"][: len(ours.clients)], np.stack(g), rtol=0, atol=1e-12)
    away = lambda **rule: np.abs(theirs(**rule)[0] - ours.w).max()
    assert away(pull=unsquared) > 1e-3
    assert away(pull=lambda w, theta: -ALPHA * theta) > 1e-3  # alpha w missing
    assert away(divisor=lambda clients: ours.cohorts.shape[1]) > 1e-3  # 1/|P| for 1/m
