"""FedExP: where clients agree, its rate is 1 and it is FedAvg; bad input."""

import jax
import numpy as np
import optax
import pytest

import pfljax as pfl
from tests.papers.test_fedavg import fedavg
from tests.support import parity
from tests.support.zoo import quadratics

LR, ROUNDS = 0.1, 3


def rates(result) -> list[float]:
    return [record["server_rate"] for record in result.records]


def test_one_client_is_fedavg():
    """|delta|^2 / (2 |delta|^2) is a half, and the rate at least 1; the model in use averages the last two."""
    ours = parity.run(pfl.algorithms.fedexp(parity.model(), optax.sgd(LR), eps=0.0, epochs=1, batch=2), cohort=1)
    theirs = [
        fedavg(ours.clients, ours.cohorts[:num], ours.start, LR, "uniform") for num in (len(ours.cohorts) - 1, None)
    ]
    assert rates(ours.result) == [1.0] * ROUNDS
    np.testing.assert_allclose(ours.w, theirs[1], rtol=0, atol=1e-13)
    with jax.enable_x64(True):
        used = ours.result.personal("q0").vars.params["w"]
    np.testing.assert_allclose(used, np.mean(theirs, axis=0), rtol=0, atol=1e-13)


def test_identical_clients_keep_the_rate_at_one():
    with jax.enable_x64(True):
        one, (a,), (c,) = quadratics(1, parity.DIM)
        rows = {"x": np.asarray(one.arrays["x"])}
        population = pfl.data.Population.from_clients({f"q{i}": rows for i in range(4)}, split=(1.0, 0.0, 0.0))
        algorithm = pfl.algorithms.fedexp(parity.model(), optax.sgd(LR), eps=0.0, steps=2, batch=2)
        result = pfl.simulate(algorithm, population, rounds=ROUNDS, cohort=4, unseen=0.0, devices=1)
        kept = np.linalg.matrix_power(np.eye(parity.DIM) - LR * a, 2 * ROUNDS)
        np.testing.assert_allclose(result.vars.params["w"], c + kept @ (parity.START - c), rtol=0, atol=1e-13)
    assert rates(result) == [1.0] * ROUNDS


@pytest.mark.parametrize("eps", [-0.1, float("nan")])
def test_bad_input(eps):
    with pytest.raises(pfl.PflError, match=f"eps: expected a number of at least 0, got {eps}"):
        pfl.algorithms.fedexp(parity.model(), eps=eps)
