"""FedExP. Jhunjhunwala et al., ICLR 2023, Algorithm 1 and the averaging of section 4, in numpy."""

import jax
import numpy as np
import optax

import pfljax as pfl
from tests.support import parity

LR, EPS = 0.1, 0.002


def fedexp(clients, cohorts, w, eps, scale=2):
    """(mean of the last two iterates, last iterate, rates)."""
    rates = []
    for cohort in cohorts:
        deltas = []
        for i in cohort:
            w_i = w.copy()
            for _ in range(clients[i].steps):
                w_i = w_i - LR * clients[i].grad(w_i)
            deltas.append(w - w_i)
        mean = np.mean(deltas, axis=0)
        rates.append(max(1.0, sum(d @ d for d in deltas) / (scale * len(cohort) * (mean @ mean + eps))))
        before, w = w, w - rates[-1] * mean
    return (before + w) / 2, w, rates


def test_rounds():
    ours = parity.run(pfl.algorithms.fedexp(parity.model(), optax.sgd(LR), eps=EPS, epochs=1, batch=2), rounds=8)
    assert len({client.steps for client in ours.clients}) > 1
    theirs = lambda *rule: fedexp(ours.clients, ours.cohorts, ours.start, *rule)
    used, last, rates = theirs(EPS)
    assert min(rates) == 1 < max(rates)  # both branches
    with jax.enable_x64(True):
        found = np.asarray(ours.result.personal("q0").vars.params["w"])
    np.testing.assert_allclose(found, used, rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours.w, last, rtol=0, atol=1e-12)
    np.testing.assert_allclose([record["server_rate"] for record in ours.result.records], rates, rtol=1e-6)
    away = lambda other: np.abs(other[1] - ours.w).max()
    assert away(theirs(10 * EPS)) > 1e-4
    assert away(theirs(EPS, 1)) > 1e-3  # without the 2
