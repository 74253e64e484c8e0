"""MAPPER. Mansour et al., 2020, section 5, Algorithm 1, in numpy."""

import numpy as np
import optax

import pfljax as pfl
from tests.support import parity

LR, OWN_LR, CANDIDATES = 0.1, 0.15, (0.2, 0.6, 0.9)


def mapper(clients, cohorts, w, is_last_only=False, is_scaled=True):
    mine = {}
    for cohort in cohorts:
        ends = []
        for k in cohort:
            tried = []
            for lam in CANDIDATES:
                v = mine[k][0] if k in mine else w
                for _ in range(clients[k].steps):
                    v = v - OWN_LR * lam * clients[k].grad(lam * v + (1 - lam) * w)
                tried.append((clients[k].loss(lam * v + (1 - lam) * w), lam, v))
            _, lam, v = min(tried, key=lambda one: one[0])
            now = w
            for _ in range(clients[k].steps):
                factor = 1 - lam if is_scaled else 1.0
                now = now - LR * factor * clients[k].grad(lam * v + (1 - lam) * now)
            mine[k] = v, lam
            ends.append(now)
        w = np.mean(ends[-1:] if is_last_only else ends, axis=0)
    return w, mine


def test_three_rounds():
    algorithm = pfl.algorithms.mapper(
        parity.model(), optax.sgd(LR), candidates=CANDIDATES, lr=OWN_LR, epochs=1, batch=2
    )
    ours = parity.run(algorithm)
    w, mine = mapper(ours.clients, ours.cohorts, ours.start)
    np.testing.assert_allclose(ours.w, w, rtol=0, atol=1e-12)
    vars, lams = ours.result.clients.kept
    for k, (v, lam) in mine.items():
        np.testing.assert_allclose(np.asarray(vars.params["w"])[k], v, rtol=0, atol=1e-12)
        np.testing.assert_allclose(np.asarray(lams)[k], lam, rtol=0, atol=1e-12)
    for bug in (
        {"is_last_only": True},
        {"is_scaled": False},
    ):  # one client aggregated; the chain rule's factor left out
        assert np.abs(mapper(ours.clients, ours.cohorts, ours.start, **bug)[0] - ours.w).max() > 1e-3, bug
