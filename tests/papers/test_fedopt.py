"""FedOpt. Reddi et al., ICLR 2021, Algorithm 2; FedAvgM, Hsu et al., 2019; both in numpy.

The corrected ones are Adam (Kingma and Ba, 2015) and Yogi (Zaheer et al., 2018) of the usual libraries at the server.
"""

import jax
import numpy as np
import optax
import pytest

import pfljax as pfl
from tests.support import parity

LR, SERVER_LR, B1, B2, TAU = 0.1, 0.3, 0.8, 0.9, 0.05

SECOND = {
    "fedadagrad": lambda v, d: v + d**2,
    "fedadam": lambda v, d: B2 * v + (1 - B2) * d**2,
    "fedyogi": lambda v, d: v - (1 - B2) * d**2 * np.sign(v - d**2),
}


def cohort_delta(clients, cohort, x):
    """Lines 4 to 9: the mean of x_i - x."""
    ends = []
    for i in cohort:
        w = x.copy()
        for _ in range(clients[i].steps):
            w = w - LR * clients[i].grad(w)
        ends.append(w)
    return np.mean(ends, axis=0) - x


def paper(clients, cohorts, x, name, v=TAU**2, squared=lambda d, m: d):
    m, v = np.zeros_like(x), np.full_like(x, v)
    for cohort in cohorts:
        d = cohort_delta(clients, cohort, x)
        m = B1 * m + (1 - B1) * d
        v = SECOND[name](v, squared(d, m))
        x = x + SERVER_LR * m / (np.sqrt(v) + TAU)
    return x


def corrected(clients, cohorts, x, name):
    begin = 1e-6 if name == "fedyogi" else 0.0  # optax's yogi
    m, v = np.full_like(x, begin), np.full_like(x, begin)
    for t, cohort in enumerate(cohorts, start=1):
        g = -cohort_delta(clients, cohort, x)
        m = B1 * m + (1 - B1) * g
        v = SECOND[name](v, g)
        x = x - SERVER_LR * (m / (1 - B1**t)) / (np.sqrt(v / (1 - B2**t)) + TAU)
    return x


def fedavgm(clients, cohorts, x, momentum):
    v = np.zeros_like(x)
    for cohort in cohorts:
        v = momentum * v - cohort_delta(clients, cohort, x)
        x = x - SERVER_LR * v
    return x


def work():
    return {"epochs": 1, "batch": 2, "weighting": "uniform", "server_lr": SERVER_LR}


@pytest.mark.parametrize("name", ["fedadagrad", "fedadam", "fedyogi"])
def test_three_rounds(name):
    second = {} if name == "fedadagrad" else {"b2": B2}
    make = getattr(pfl.algorithms, name)
    ours = parity.run(make(parity.model(), optax.sgd(LR), b1=B1, tau=TAU, **second, **work()))
    assert len({client.steps for client in ours.clients}) > 1
    theirs = lambda **rule: paper(ours.clients, ours.cohorts, ours.start, name, **rule)
    np.testing.assert_allclose(ours.w, theirs(), rtol=0, atol=1e-12)
    away = lambda found: np.abs(found - ours.w).max()
    assert away(theirs(v=0.0)) > 1e-3
    assert away(theirs(squared=lambda d, m: m)) > 1e-3  # m in the place of the change
    if name != "fedadagrad":
        assert away(corrected(ours.clients, ours.cohorts, ours.start, name)) > 1e-3


@pytest.mark.parametrize("name", ["fedadam", "fedyogi"])
def test_three_rounds_with_bias_correction(name):
    make = getattr(pfl.algorithms, f"{name}_corrected")
    with jax.numpy_dtype_promotion("standard"):  # optax's own bias correction promotes
        ours = parity.run(make(parity.model(), optax.sgd(LR), b1=B1, b2=B2, tau=TAU, **work()))
    theirs = corrected(ours.clients, ours.cohorts, ours.start, name)
    np.testing.assert_allclose(ours.w, theirs, rtol=0, atol=1e-12)
    assert np.abs(paper(ours.clients, ours.cohorts, ours.start, name) - ours.w).max() > 1e-3


def test_three_rounds_of_fedavgm():
    ours = parity.run(pfl.algorithms.fedavgm(parity.model(), optax.sgd(LR), momentum=0.6, **work()))
    np.testing.assert_allclose(ours.w, fedavgm(ours.clients, ours.cohorts, ours.start, 0.6), rtol=0, atol=1e-12)
    assert np.abs(fedavgm(ours.clients, ours.cohorts, ours.start, 0.0) - ours.w).max() > 1e-3
