"""APFL. Deng et al., 2020, Algorithm 1 with its adaptive mixing weight, in numpy."""

import numpy as np
import optax

import pfljax as pfl
from tests.support import parity

LR, ALPHA = 0.1, 0.4


def apfl(clients, cohorts, w, alpha_lr, has_factor=True):
    mine = {}
    for cohort in cohorts:
        ends = []
        for k in cohort:
            w_k = w.copy()
            v, alpha = mine.get(k, (w.copy(), ALPHA))
            for _ in range(clients[k].steps):
                gradient = clients[k].grad(alpha * v + (1 - alpha) * w_k)  # of the mixed model, all at t - 1
                moved = alpha - alpha_lr * gradient @ (v - w_k)
                v = v - LR * (alpha if has_factor else 1.0) * gradient
                w_k = w_k - LR * clients[k].grad(w_k)
                alpha = np.clip(moved, 0, 1)
            mine[k] = v, alpha
            ends.append(w_k)
        w = np.mean(ends, axis=0)
    return w, mine


def test_three_rounds():
    alpha_lr = 0.05
    algorithm = pfl.algorithms.apfl(
        parity.model(), optax.sgd(LR), lr=LR, alpha=ALPHA, alpha_lr=alpha_lr, epochs=1, batch=2
    )
    ours = parity.run(algorithm)
    w, mine = apfl(ours.clients, ours.cohorts, ours.start, alpha_lr)
    np.testing.assert_allclose(ours.w, w, rtol=0, atol=1e-12)
    vars, alphas = ours.result.clients.kept
    for k, (v, alpha) in mine.items():
        np.testing.assert_allclose(np.asarray(vars.params["w"])[k], v, rtol=0, atol=1e-12)
        np.testing.assert_allclose(np.asarray(alphas)[k], alpha, rtol=0, atol=1e-12)
    assert np.ptp([alpha for _, alpha in mine.values()]) > 1e-3
    for bug in ({"alpha_lr": 0.0}, {"alpha_lr": alpha_lr, "has_factor": False}):  # v's step without alpha, as elsewhere
        wrong = apfl(ours.clients, ours.cohorts, ours.start, **bug)[1]
        assert max(np.abs(np.asarray(vars.params["w"])[k] - wrong[k][0]).max() for k in wrong) > 1e-5, bug
