"""Local training alone, in numpy: every client on its own rows, whenever it is asked."""

import numpy as np
import optax

import pfljax as pfl
from tests.support import parity


def local_only(clients, cohorts, start, lr):
    mine = {}
    for cohort in cohorts:
        for k in cohort:
            w = mine.get(k, start).copy()
            for _ in range(clients[k].steps):
                w = w - lr * clients[k].grad(w)
            mine[k] = w
    return mine


def test_three_rounds():
    ours = parity.run(pfl.algorithms.local_only(parity.model(), optax.sgd(0.1), epochs=1, batch=2))
    mine = local_only(ours.clients, ours.cohorts, ours.start, 0.1)
    own = np.asarray(ours.result.clients.kept.params["w"])
    for k, w in mine.items():
        np.testing.assert_allclose(own[k], w, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(ours.w, ours.start)
    restarted = {k: local_only(ours.clients, [c], ours.start, 0.1)[k] for c in ours.cohorts for k in c}  # state lost
    assert max(np.abs(restarted[k] - own[k]).max() for k in mine) > 1e-3
