"""FedDyn: first-order conditions of exact inner solutions, the mean that is h, where it converges, bad input."""

import numpy as np
import optax
import pytest

import pfljax as pfl
from tests.support import parity
from tests.support.trajectory import follow

LR, ALPHA = 0.1, 0.6


def test_exact_inner_solutions():
    """After each participation g_i is the gradient of f_i at its w_i, which solves its problem; h is the mean g_i."""
    run = follow(pfl.algorithms.feddyn(parity.model(), optax.sgd(LR), alpha=ALPHA, steps=600, batch=2))
    assert not run.seen.all()
    for theta, before, moment in run.pairs():
        g, (h, _) = moment.kept["w"], moment.server.extra
        ends = []
        for i in moment.rows:
            own = 0 if before is None else before["w"][i]
            left = run.a[i] + ALPHA * np.eye(parity.DIM)
            ends.append(np.linalg.solve(left, run.a[i] @ run.c[i] + ALPHA * theta + own))
            np.testing.assert_allclose(g[i], run.a[i] @ (ends[-1] - run.c[i]), rtol=0, atol=1e-10)
        np.testing.assert_allclose(h["w"], g[run.seen].mean(axis=0), rtol=0, atol=1e-14)
        np.testing.assert_allclose(moment.w, np.mean(ends, axis=0) - h["w"] / ALPHA, rtol=0, atol=1e-10)
        away = np.setdiff1d(np.arange(len(g)), moment.rows)
        np.testing.assert_array_equal(g[away], 0 if before is None else before["w"][away])
    assert np.abs(h["w"]).max() > 0.01


def test_it_converges_to_the_optimum():
    """With a few unequal steps and a part of the clients a round; then every g_i is the gradient there."""
    algorithm = pfl.algorithms.feddyn(parity.model(), optax.sgd(LR), alpha=ALPHA, epochs=2, batch=1)
    ours = parity.run(algorithm, rounds=3000)
    best = np.linalg.solve(sum(k.a for k in ours.clients), sum(k.a @ k.c for k in ours.clients))
    np.testing.assert_allclose(ours.w, best, rtol=0, atol=1e-10)
    grads = np.stack([k.grad(best) for k in ours.clients])
    np.testing.assert_allclose(ours.result.clients.kept["w"][: len(ours.clients)], grads, rtol=0, atol=1e-10)


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan")])
def test_bad_input(alpha):
    with pytest.raises(pfl.PflError, match=f"alpha: expected a positive number, got {alpha}"):
        pfl.algorithms.feddyn(parity.model(), alpha=alpha)
