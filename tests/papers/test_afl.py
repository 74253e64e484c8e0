"""Agnostic federated learning. Mohri et al., ICML 2019, Algorithm 1 with exact gradients, in numpy."""

import jax
import numpy as np

import pfljax as pfl
from tests.support import parity

LR, MIXTURE_LR = 0.1, 0.05


def onto_simplex(v):
    """The nearest point with entries of at least 0 that add up to 1 (Wang and Carreira-Perpinan, 2013)."""
    falling = np.sort(v)[::-1]
    shifts = (1 - np.cumsum(falling)) / np.arange(1, len(v) + 1)
    return np.maximum(v + shifts[np.flatnonzero(falling + shifts > 0)[-1]], 0)


def afl(clients, rounds, w, uses="before"):
    """(mean of w_1 ... w_T, w_T, lambda). uses: the model at which lambda's gradient is taken."""
    mixture, iterates = np.full(len(clients), 1 / len(clients)), []
    for _ in range(rounds):
        grad = sum(share * k.grad(w) for share, k in zip(mixture, clients, strict=True))
        before, w = w, w - LR * grad
        losses = np.array([k.loss(before if uses == "before" else w) for k in clients])
        mixture = onto_simplex(mixture + MIXTURE_LR * losses)
        iterates.append(w)
    return np.mean(iterates, axis=0), w, mixture


def test_rounds_with_everybody():
    algorithm = pfl.algorithms.afl(parity.model(), lr=LR, mixture_lr=MIXTURE_LR)
    ours = parity.run(algorithm, rounds=6, cohort=5)
    mean, last, mixture = afl(ours.clients, 6, ours.start)
    assert (mixture == 0).any()
    with jax.enable_x64(True):
        found = np.asarray(ours.result.personal("q0").vars.params["w"])
    np.testing.assert_allclose(found, mean, rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours.w, last, rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours.result.server.extra.mixture, mixture, rtol=0, atol=1e-12)
    assert np.abs(afl(ours.clients, 6, ours.start, "after")[1] - ours.w).max() > 1e-4
