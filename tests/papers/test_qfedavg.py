"""q-FedAvg. Li et al., ICLR 2020, Algorithm 2, in numpy."""

import numpy as np
import pytest

import pfljax as pfl
from tests.support import parity

LR = 0.1


def qfedavg(clients, cohorts, w, q, after=False):
    """after: the losses where the clients stopped, in the place of those at w."""
    for cohort in cohorts:
        deltas, hs = [], []
        for k in cohort:
            w_k = w.copy()
            for _ in range(clients[k].steps):
                w_k = w_k - LR * clients[k].grad(w_k)
            loss, move = clients[k].loss(w_k if after else w), (w - w_k) / LR
            deltas.append(loss**q * move)
            hs.append(q * loss ** (q - 1) * (move @ move) + loss**q / LR)
        w = w - sum(deltas) / sum(hs)
    return w


@pytest.mark.parametrize("q", [0.5, 2.0])
def test_three_rounds(q):
    ours = parity.run(pfl.algorithms.qfedavg(parity.model(), q=q, lr=LR, epochs=1, batch=2))
    assert len({client.steps for client in ours.clients}) > 1
    theirs = lambda *rule: qfedavg(ours.clients, ours.cohorts, ours.start, *rule)
    np.testing.assert_allclose(ours.w, theirs(q), rtol=0, atol=1e-11)
    assert np.abs(theirs(q + 0.2) - ours.w).max() > 1e-3
    assert np.abs(theirs(q, True) - ours.w).max() > 1e-3
