"""Ditto. Li et al., ICML 2021, Algorithm 1, in numpy."""

import numpy as np
import optax

import pfljax as pfl
from tests.support import parity

LR, LAM = 0.1, 0.8


def ditto(clients, cohorts, w, is_moving_anchor=False):
    v = {}
    for cohort in cohorts:
        ends, weights = [], []
        for k in cohort:
            w_k, v_k = w.copy(), v.get(k, w).copy()
            for _ in range(clients[k].steps):
                anchor = w_k if is_moving_anchor else w
                v_k = v_k - LR * (clients[k].grad(v_k) + LAM * (v_k - anchor))
                w_k = w_k - LR * clients[k].grad(w_k)
            v[k] = v_k
            ends.append(w_k)
            weights.append(clients[k].rows)
        w = np.average(ends, axis=0, weights=weights)
    return w, v


def test_three_rounds():
    ours = parity.run(pfl.algorithms.ditto(parity.model(), optax.sgd(LR), lam=LAM, epochs=1, batch=2))
    w, v = ditto(ours.clients, ours.cohorts, ours.start)
    np.testing.assert_allclose(ours.w, w, rtol=0, atol=1e-12)
    own = np.asarray(ours.result.clients.kept.params["w"])
    for k in v:
        np.testing.assert_allclose(own[k], v[k], rtol=0, atol=1e-12)
    _, wrong = ditto(ours.clients, ours.cohorts, ours.start, is_moving_anchor=True)  # not the round's start
    assert max(np.abs(own[k] - wrong[k]).max() for k in v) > 1e-4
