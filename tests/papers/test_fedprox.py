"""FedProx. Li et al., MLSys 2020, Algorithm 2 with local gradient steps as its inexact solver, in numpy."""

import numpy as np
import optax

import pfljax as pfl
from tests.support import parity

LR, MU = 0.1, 0.8


def fedprox(clients, cohorts, w, mu, pull=lambda w_k, w: w_k - w):
    for cohort in cohorts:
        ends = []
        for k in cohort:
            w_k = w.copy()
            for _ in range(clients[k].steps):
                w_k = w_k - LR * (clients[k].grad(w_k) + mu * pull(w_k, w))
            ends.append(w_k)
        shares = [clients[k].rows for k in cohort]
        w = sum(n * w_k for n, w_k in zip(shares, ends, strict=True)) / sum(shares)
    return w


def test_three_rounds():
    ours = parity.run(pfl.algorithms.fedprox(parity.model(), optax.sgd(LR), mu=MU, epochs=1, batch=2))
    assert len({client.steps for client in ours.clients}) > 1
    theirs = lambda *rule: fedprox(ours.clients, ours.cohorts, ours.start, *rule)
    np.testing.assert_allclose(ours.w, theirs(MU), rtol=0, atol=1e-12)
    away = lambda *rule: np.abs(theirs(*rule) - ours.w).max()
    assert away(2 * MU) > 1e-3  # mu |w - w_sent|^2, without the half
    assert away(MU, lambda w_k, w: 0 * w) > 1e-3  # an anchor that runs along with w pulls nothing
