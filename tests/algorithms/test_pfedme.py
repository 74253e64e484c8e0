"""pFedMe: the Moreau envelope's gradient, its limits, and the point where it meets L2GD."""

import numpy as np
import optax
import pytest

import pfljax as pfl
from tests.support import closed

LAM = 1.4


@pytest.fixture(scope="module")
def zoo():
    return closed.Zoo(4)


def test_the_envelopes_gradient():
    """lam (A + lam I)^-1 A (w - c), with inner steps to spare."""
    zoo, lr = closed.Zoo(1), 0.3
    algorithm = pfl.algorithms.pfedme(
        closed.model(), lr=lr, lam=LAM, inner_lr=0.2, inner_steps=200, steps=1, batch=None
    )
    found = (closed.START - closed.shared(zoo.run(algorithm, 1))) / lr
    a, away = zoo.a[0], closed.START - zoo.c[0]
    np.testing.assert_allclose(found, LAM * np.linalg.solve(a + LAM * closed.EYE, a @ away), rtol=0, atol=1e-11)
    assert np.abs(a @ away - found).max() > 1e-2


def test_learned_point_is_the_mean_of_l2gds(zoo):
    """sum R_i A_i (w - c_i) = 0, R_i = (A_i + lam I)^-1: the mean of the mixture of local models that L2GD seeks."""
    algorithm = pfl.algorithms.pfedme(
        closed.model(), lr=1.0, lam=LAM, inner_lr=0.25, inner_steps=60, steps=1, batch=None
    )
    result = zoo.run(algorithm, 300)
    r = [np.linalg.inv(a + LAM * closed.EYE) for a in zoo.a]
    learned = closed.solve([x @ a for x, a in zip(r, zoo.a, strict=True)], zoo.c)
    np.testing.assert_allclose(closed.shared(result), learned, rtol=0, atol=1e-9)
    x = closed.mixture_of_local_models(zoo.a, zoo.c, LAM)
    np.testing.assert_allclose(closed.shared(result), x.mean(axis=0), rtol=0, atol=1e-9)
    np.testing.assert_allclose(closed.personal(result, 1, 300), x[1], rtol=0, atol=1e-9)
    assert np.abs(closed.solve(zoo.a, zoo.c) - learned).max() > 1e-2  # FedSGD's


def test_one_inner_step_is_fedavg(zoo):
    """theta = w - inner_lr grad f(w), so w moves by lr lam inner_lr grad f(w), whatever lam is."""
    lr, inner_lr, beta, work = 0.05, 0.2, 1.3, {"epochs": 1, "batch": 2}
    pfedme = pfl.algorithms.pfedme(closed.model(), lr=lr, lam=LAM, inner_lr=inner_lr, inner_steps=1, beta=beta, **work)
    fedavg = pfl.algorithms.fedavg(
        closed.model(), optax.sgd(lr * LAM * inner_lr), optax.sgd(beta), weighting="uniform", **work
    )
    ours, theirs = (closed.shared(zoo.run(algorithm, 3)) for algorithm in (pfedme, fedavg))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-13)


def test_a_strong_pull_is_fedavg(zoo):
    """lam -> infinity, exact minima: each local step is one of FedAvg's."""
    lam, work = 1e7, {"epochs": 1, "batch": 2}
    pfedme = pfl.algorithms.pfedme(closed.model(), lr=0.1, lam=lam, inner_lr=1 / lam, inner_steps=4, **work)
    fedavg = pfl.algorithms.fedavg(closed.model(), optax.sgd(0.1), weighting="uniform", **work)
    ours, theirs = (closed.shared(zoo.run(algorithm, 3)) for algorithm in (pfedme, fedavg))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lam": 0}, "lam: expected a positive number, got 0"),
        ({"lam": float("nan")}, "lam: expected a positive number, got nan"),
        ({"lr": -0.1}, "lr: expected a number of at least 0, got -0.1"),
        ({"beta": -1.0}, "beta: expected a number of at least 0, got -1.0"),
        ({"inner_steps": 0}, "inner_steps: expected a whole number of at least 1, got 0"),
        ({"epochs": 1}, "epochs, steps: expected exactly one"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(pfl.PflError, match=message):
        pfl.algorithms.pfedme(closed.model(), steps=1, **arguments)
