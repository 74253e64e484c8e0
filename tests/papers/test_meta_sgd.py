"""Meta-SGD. Li et al., 2017, Algorithm 1, as Chen et al. (2018) federate it, in numpy."""

import numpy as np
import optax

import pfljax as pfl
from tests.support import parity

ALPHA, BETA = 0.15, 0.02


def meta_sgd(clients, cohorts, theta, moves=1.0):
    alpha = np.full_like(theta, ALPHA)
    for cohort in cohorts:
        ends = []
        for k in cohort:
            w, rates, a = theta.copy(), alpha.copy(), clients[k].a
            for _ in range(clients[k].steps):
                support = clients[k].grad(w)
                query = clients[k].grad(w - rates * support)
                w, rates = w - BETA * (query - a @ (rates * query)), rates - moves * BETA * (-support * query)
            ends.append((w, rates))
        theta, alpha = (np.mean(each, axis=0) for each in zip(*ends, strict=True))
    return theta, alpha


def test_three_rounds():
    ours = parity.run(pfl.algorithms.meta_sgd(parity.model(), optax.sgd(BETA), inner_lr=ALPHA, epochs=1, batch=2))
    theta, alpha = meta_sgd(ours.clients, ours.cohorts, ours.start)
    np.testing.assert_allclose(ours.w, theta, rtol=0, atol=1e-12)
    np.testing.assert_allclose(np.asarray(ours.result.server.extra["w"]), alpha, rtol=0, atol=1e-12)
    for bug in (0.0, -1.0):  # rates that stand still, rates that climb
        assert np.abs(meta_sgd(ours.clients, ours.cohorts, ours.start, bug)[0] - ours.w).max() > 1e-4
