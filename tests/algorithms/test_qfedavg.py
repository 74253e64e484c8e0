"""q-FedAvg: q = 0 is FedAvg, losses are those of all rows, nobody with a loss moves nothing, bad input."""

import jax
import numpy as np
import pytest

import pfljax as pfl
from tests.papers.test_fedavg import fedavg
from tests.support import parity
from tests.support.trajectory import on_noisy
from tests.support.zoo import quadratics

LR = 0.1


def test_q_zero_is_fedavg_with_uniform_weights():
    ours = parity.run(pfl.algorithms.qfedavg(parity.model(), q=0.0, lr=LR, epochs=1, batch=2))
    theirs = fedavg(ours.clients, ours.cohorts, ours.start, LR, "uniform")
    np.testing.assert_allclose(ours.w, theirs, rtol=0, atol=1e-13)


def test_the_loss_is_that_of_all_rows():
    """One step on all rows is q-FedSGD: sum F^q g over sum q F^(q - 1) |g|^2 + F^q L, where rows differ."""
    q = 1.5
    population, a, centres, result = on_noisy(pfl.algorithms.qfedavg(parity.model(), q=q, lr=LR, steps=1, batch=None))
    start = np.full(parity.DIM, parity.START)
    x = np.asarray(population.arrays["x"])
    starts, counts = population.span("train")
    gaps = [start - x[begin : begin + count, : parity.DIM] for begin, count in zip(starts, counts, strict=True)]
    losses = np.array([0.5 * np.einsum("bi,ij,bj->b", gap, m, gap).mean() for gap, m in zip(gaps, a, strict=True)])
    grads = np.einsum("kij,kj->ki", a, start - centres)
    h = q * losses ** (q - 1) * (grads**2).sum(axis=1) + losses**q / LR
    moved = start - losses**q @ grads / h.sum()
    np.testing.assert_allclose(result.vars.params["w"], moved, rtol=0, atol=1e-9)  # the losses carry 1e-10


@pytest.mark.parametrize("q", [0.5, 5.0])
def test_clients_without_a_loss_stay(q):
    """At everybody's minimum F^(q - 1) is infinite for q < 1 and F^q vanishes for a large q: neither is a NaN."""
    with jax.enable_x64(False):
        one, *_ = quadratics(1, parity.DIM)
        rows = {"x": np.asarray(one.arrays["x"], np.float32)}
        population = pfl.data.Population.from_clients({f"q{i}": rows for i in range(2)}, split=(1.0, 0.0, 0.0))
        best = {"w": rows["x"][0, : parity.DIM]}
        algorithm = pfl.algorithms.qfedavg(parity.model(), q=q, lr=LR, steps=2, batch=2)
        result = pfl.simulate(algorithm, population, rounds=2, cohort=2, unseen=0.0, devices=1, params=best)
        np.testing.assert_array_equal(result.vars.params["w"], best["w"])


@pytest.mark.parametrize("q", [-0.1, float("nan")])
def test_bad_input(q):
    with pytest.raises(pfl.PflError, match=f"q: expected a number of at least 0, got {q}"):
        pfl.algorithms.qfedavg(parity.model(), q=q)
