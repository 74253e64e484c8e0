"""pFedMe. Dinh et al., NeurIPS 2020, Algorithm 1, in numpy."""

import numpy as np

import pfljax as pfl
from tests.support import parity

LAM, LR, INNER_LR, INNER, BETA = 3.0, 0.05, 0.1, 4, 1.5


def pfedme(clients, cohorts, w, lam=LAM, pull=1.0, beta=BETA, decay=0.0, is_warm=False):
    for cohort in cohorts:
        ends = []
        for k in cohort:
            w_k, theta = w.copy(), w.copy()
            for _ in range(clients[k].steps):
                theta = theta if is_warm else w_k
                for _ in range(INNER):
                    theta = theta - INNER_LR * (clients[k].grad(theta) + pull * lam * (theta - w_k) + decay * theta)
                w_k = w_k - LR * lam * (w_k - theta)
            ends.append(w_k)
        w = (1 - beta) * w + beta * np.mean(ends, axis=0)
    return w


def test_three_rounds():
    algorithm = pfl.algorithms.pfedme(
        parity.model(), lr=LR, lam=LAM, inner_lr=INNER_LR, inner_steps=INNER, beta=BETA, epochs=1, batch=2
    )
    ours = parity.run(algorithm)
    np.testing.assert_allclose(ours.w, pfedme(ours.clients, ours.cohorts, ours.start), rtol=0, atol=1e-12)
    # Seen elsewhere: a proximal term without a gradient; a hidden weight decay; theta going on from the last step's.
    for bug in ({"pull": 0.0}, {"decay": 1e-3}, {"is_warm": True}, {"beta": 1.0}):
        assert np.abs(pfedme(ours.clients, ours.cohorts, ours.start, **bug) - ours.w).max() > 1e-5, bug
