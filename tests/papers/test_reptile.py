"""Reptile, batched. Nichol et al., 2018, Algorithm 2, in numpy."""

import numpy as np
import optax

import pfljax as pfl
from tests.support import parity


def reptile(clients, cohorts, phi, lr, step_size):
    for cohort in cohorts:
        moves = []
        for k in cohort:
            w = phi.copy()
            for _ in range(clients[k].steps):
                w = w - lr * clients[k].grad(w)
            moves.append(w - phi)
        phi = phi + step_size * np.mean(moves, axis=0)  # tasks count alike, whatever their rows
    return phi


def test_three_rounds():
    ours = parity.run(pfl.algorithms.reptile(parity.model(), optax.sgd(0.1), step_size=0.6, epochs=1, batch=2))
    assert len({client.steps for client in ours.clients}) > 1
    theirs = reptile(ours.clients, ours.cohorts, ours.start, 0.1, 0.6)
    np.testing.assert_allclose(ours.w, theirs, rtol=0, atol=1e-12)
    assert np.abs(reptile(ours.clients, ours.cohorts, ours.start, 0.1, 1.0) - ours.w).max() > 1e-3
