"""FedAvg. McMahan et al., AISTATS 2017, Algorithm 1, in numpy."""

import numpy as np
import optax
import pytest

import pfljax as pfl
from tests.support import parity


def fedavg(clients, cohorts, w, lr, weighting):
    for cohort in cohorts:
        ends, weights = [], []
        for k in cohort:
            w_k = w.copy()
            for _ in range(clients[k].steps):
                w_k = w_k - lr * clients[k].grad(w_k)
            ends.append(w_k)
            weights.append(clients[k].rows if weighting == "examples" else 1)
        w = sum(n * w_k for n, w_k in zip(weights, ends, strict=True)) / sum(weights)
    return w


@pytest.mark.parametrize("weighting", ["examples", "uniform"])
def test_three_rounds(weighting):
    algorithm = pfl.algorithms.fedavg(parity.model(), optax.sgd(0.1), epochs=1, batch=2, weighting=weighting)
    ours = parity.run(algorithm)
    assert len({client.steps for client in ours.clients}) > 1
    theirs = fedavg(ours.clients, ours.cohorts, ours.start, 0.1, weighting)
    np.testing.assert_allclose(ours.w, theirs, rtol=0, atol=1e-12)
    assert np.abs(fedavg(ours.clients, ours.cohorts, ours.start, 0.11, weighting) - ours.w).max() > 1e-4
