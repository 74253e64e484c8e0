"""FedNova. Wang et al., NeurIPS 2020, eq. (10) with a_i of section 4.1 written out, in numpy.

A client's change is lr G a, with G = [g_0 ... g_(tau - 1)] and a how much each gradient counts; d = G a / |a|_1;
x <- x - lr tau_eff sum p_i d_i. tau_eff is the server's choice; as for SGD it is sum p_i |a_i|_1.
"""

import numpy as np
import optax
import pytest

import pfljax as pfl
from tests.support import parity

LR, RHO, MU = 0.1, 0.6, 0.9


def accumulation(tau, rho, mu):
    """a: [step]; with momentum rho, (1 - rho^(tau - k)) / (1 - rho); with a pull mu, (1 - lr mu)^(tau - 1 - k)."""
    left = tau - np.arange(tau)
    return (1 - rho**left) / (1 - rho) if mu == 0 else (1 - LR * mu) ** (left - 1)


def fednova(clients, cohorts, x, rho, mu, length=np.sum):
    for cohort in cohorts:
        directions, reaches = [], []
        for k in cohort:
            w, u, grads = x.copy(), np.zeros_like(x), []
            for _ in range(clients[k].steps):
                grads.append(clients[k].grad(w))
                u = rho * u + grads[-1] + mu * (w - x)
                w = w - LR * u
            a = accumulation(clients[k].steps, rho, mu)
            np.testing.assert_allclose(x - w, LR * np.stack(grads).T @ a, atol=1e-13)  # a is what the steps did
            directions.append(np.stack(grads).T @ a / length(a))
            reaches.append(length(a))
        p = np.array([clients[k].rows for k in cohort], float)
        p /= p.sum()
        x = x - LR * (p @ reaches) * (p @ directions)
    return x


@pytest.mark.parametrize(("rho", "mu"), [(0.0, 0.0), (RHO, 0.0), (0.0, MU)])
def test_three_rounds(rho, mu):
    opt = optax.sgd(LR, momentum=rho) if rho else optax.sgd(LR)
    ours = parity.run(pfl.algorithms.fednova(parity.model(), opt, mu=mu, epochs=1, batch=1))
    assert len({client.steps for client in ours.clients}) > 1
    theirs = lambda *rule: fednova(ours.clients, ours.cohorts, ours.start, rho, mu, *rule)
    np.testing.assert_allclose(ours.w, theirs(), rtol=0, atol=1e-12)
    away = lambda *rule: np.abs(theirs(*rule) - ours.w).max()
    assert away(lambda a: 1.0) > 1e-4  # FedAvg
    if rho or mu:
        assert away(len) > 1e-4  # tau for |a|_1
