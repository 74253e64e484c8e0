"""SCAFFOLD: the mean of the variates, what they are, where it converges, bad input."""

import numpy as np
import optax
import pytest

import pfljax as pfl
from tests.support import parity
from tests.support.trajectory import follow, on_noisy

LR = 0.1
OPTIONS = ("gradient", "difference")


@pytest.mark.parametrize("option", OPTIONS)
def test_the_mean_variate_is_the_servers(option):
    """In every round, of those who may ever take part; who did not keeps its own."""
    run = follow(pfl.algorithms.scaffold(parity.model(), lr=LR, option=option, epochs=1, batch=2))
    assert not run.seen.all()
    for w, before, moment in run.pairs():
        c_i, c = moment.kept["w"], moment.server.extra.variate["w"]
        np.testing.assert_allclose(c_i[run.seen].mean(axis=0), c, rtol=0, atol=1e-14)
        np.testing.assert_array_equal(c_i[~run.seen], 0)
        away = np.setdiff1d(np.arange(len(c_i)), moment.rows)
        np.testing.assert_array_equal(c_i[away], 0 if before is None else before["w"][away])
        assert np.abs(c_i[moment.rows]).min() > 0
        if option == "gradient":
            full = np.einsum("kij,kj->ki", run.a, w - run.c)
            np.testing.assert_allclose(c_i[moment.rows], full[moment.rows], rtol=0, atol=1e-13)
    assert np.abs(c).max() > 0.01


@pytest.mark.parametrize("option", OPTIONS)
def test_one_step_on_all_rows_leaves_the_full_gradient(option):
    """Also where rows differ; and the model takes one centralised step."""
    _, a, centres, result = on_noisy(pfl.algorithms.scaffold(parity.model(), lr=LR, option=option, steps=1, batch=None))
    start = np.full(parity.DIM, parity.START)
    full = np.einsum("kij,kj->ki", a, start - centres)
    np.testing.assert_allclose(result.clients.kept["w"][: len(a)], full, rtol=0, atol=1e-13)
    np.testing.assert_allclose(result.vars.params["w"], start - LR * full.mean(axis=0), rtol=0, atol=1e-13)


@pytest.mark.parametrize("option", OPTIONS)
def test_it_converges_to_the_optimum_where_fedavg_does_not(option):
    """With unequal steps and a part of the clients a round; then the variates are the gradients there."""
    algorithm = pfl.algorithms.scaffold(parity.model(), optax.sgd(0.7), lr=LR, option=option, epochs=1, batch=2)
    ours = parity.run(algorithm, rounds=3000)
    solve = lambda m: np.linalg.solve(sum(m), sum(x @ k.c for x, k in zip(m, ours.clients, strict=True)))
    best = solve([k.a for k in ours.clients])
    np.testing.assert_allclose(ours.w, best, rtol=0, atol=1e-10)
    grads = np.stack([k.grad(best) for k in ours.clients])
    np.testing.assert_allclose(ours.result.clients.kept["w"][: len(ours.clients)], grads, rtol=0, atol=1e-10)
    reach = lambda k: np.eye(parity.DIM) - np.linalg.matrix_power(np.eye(parity.DIM) - LR * k.a, k.steps)
    assert np.abs(solve([reach(k) for k in ours.clients]) - best).max() > 0.01  # FedAvg's fixed point


def test_bad_input():
    with pytest.raises(pfl.PflError, match="option: expected one of gradient, difference, got 'II'"):
        pfl.algorithms.scaffold(parity.model(), option="II")
