"""Per-FedAvg. Fallah et al., NeurIPS 2020, Algorithm 1, in numpy; with K inner steps, and its two approximations."""

import numpy as np
import optax
import pytest

import pfljax as pfl
from tests.support import parity

ALPHA, BETA, DELTA = 0.15, 0.1, 0.05


def meta_gradient(client, w, order, inner_steps):
    path = [w]
    for _ in range(inner_steps):
        path.append(path[-1] - ALPHA * client.grad(path[-1]))
    v = client.grad(path[-1])
    for point in reversed(path[:-1]):  # the chain rule, from the last inner step to the first
        if order == "exact":
            v = v - ALPHA * client.a @ v
        elif order == "hessian_free":
            v = v - ALPHA * (client.grad(point + DELTA * v) - client.grad(point - DELTA * v)) / (2 * DELTA)
    return v


def per_fedavg(clients, cohorts, w, order, inner_steps):
    for cohort in cohorts:
        ends = []
        for k in cohort:
            w_k = w.copy()
            for _ in range(clients[k].steps):
                w_k = w_k - BETA * meta_gradient(clients[k], w_k, order, inner_steps)
            ends.append(w_k)
        w = np.mean(ends, axis=0)
    return w


@pytest.mark.parametrize("order", ["exact", "first", "hessian_free"])
def test_three_rounds(order):
    algorithm = pfl.algorithms.per_fedavg(
        parity.model(), optax.sgd(BETA), inner_lr=ALPHA, inner_steps=2, order=order, delta=DELTA, epochs=1, batch=2
    )
    ours = parity.run(algorithm)
    assert len({client.steps for client in ours.clients}) > 1
    theirs = per_fedavg(ours.clients, ours.cohorts, ours.start, order, 2)
    np.testing.assert_allclose(ours.w, theirs, rtol=0, atol=1e-12)
    other = "first" if order != "first" else "exact"
    assert np.abs(per_fedavg(ours.clients, ours.cohorts, ours.start, other, 2) - ours.w).max() > 1e-3
    assert np.abs(per_fedavg(ours.clients, ours.cohorts, ours.start, order, 1) - ours.w).max() > 1e-3
    # Adapted weights that nobody uses: plain FedAvg at the meta rate.
    assert np.abs(per_fedavg(ours.clients, ours.cohorts, ours.start, order, 0) - ours.w).max() > 1e-3
