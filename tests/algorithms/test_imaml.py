"""iMAML: the implicit gradient on quadratics, its limit, what it learns."""

import numpy as np
import optax
import pytest

import pfljax as pfl
from tests.support import closed


def gradient(zoo, **arguments):
    """One meta-step of rate 1 of one client."""
    algorithm = pfl.algorithms.imaml(closed.model(), optax.sgd(1.0), steps=1, batch=2, **arguments)
    return closed.START - closed.shared(zoo.run(algorithm, 1))


def test_implicit_gradient():
    """lam^2 (A + lam I)^-1 A (A + lam I)^-1 (theta - c), with steps and conjugate gradients to spare."""
    lam, zoo = 1.3, closed.Zoo(1)
    found = gradient(zoo, lam=lam, inner_lr=0.2, inner_steps=200, cg_steps=40)
    away = closed.START - zoo.c[0]
    r = np.linalg.inv(zoo.a[0] + lam * closed.EYE)
    np.testing.assert_allclose(found, lam**2 * r @ zoo.a[0] @ r @ away, rtol=0, atol=1e-11)
    assert np.abs(lam * zoo.a[0] @ r @ away - found).max() > 1e-3  # first order, at the proximal point


def test_a_strong_pull_is_plain_training():
    """lam -> infinity: nobody adapts, and the gradient is f's."""
    lam, zoo = 1e7, closed.Zoo(1)
    found = gradient(zoo, lam=lam, inner_lr=1 / lam, inner_steps=3, cg_steps=3)
    np.testing.assert_allclose(found, zoo.a[0] @ (closed.START - zoo.c[0]), rtol=0, atol=1e-6)


def test_learned_point_and_adaptation():
    """R_i A_i R_i (theta - c_i) averages to 0; a client's own model is (A + lam I)^-1 (A c + lam theta)."""
    lam, zoo = 1.0, closed.Zoo(4)
    algorithm = pfl.algorithms.imaml(
        closed.model(), optax.sgd(2.0), lam=lam, inner_lr=0.25, inner_steps=60, cg_steps=4, steps=1, batch=None
    )
    result = zoo.run(algorithm, 300)
    r = [np.linalg.inv(a + lam * closed.EYE) for a in zoo.a]
    theta = closed.solve([x @ a @ x for x, a in zip(r, zoo.a, strict=True)], zoo.c)
    np.testing.assert_allclose(closed.shared(result), theta, rtol=0, atol=1e-9)
    expected = r[2] @ (zoo.a[2] @ zoo.c[2] + lam * theta)
    np.testing.assert_allclose(closed.personal(result, 2, 300), expected, rtol=0, atol=1e-9)


def test_a_client_at_its_minimum_stays():
    """No gradient at all: conjugate gradients have nothing to solve, and divide by nothing."""
    zoo = closed.Zoo(1)
    algorithm = pfl.algorithms.imaml(closed.model(), optax.sgd(1.0), steps=3, batch=2)
    result = zoo.run(algorithm, 2, params={"w": zoo.c[0]})
    np.testing.assert_allclose(closed.shared(result), zoo.c[0], rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lam": 0.0}, "lam: expected a positive number, got 0.0"),
        ({"lam": float("nan")}, "lam: expected a positive number, got nan"),
        ({"inner_steps": 0}, "inner_steps: expected a whole number of at least 1, got 0"),
        ({"cg_steps": 0}, "cg_steps: expected a whole number of at least 1, got 0"),
        ({"cg_steps": 2.5}, "cg_steps: expected a whole number of at least 1, got 2.5"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(pfl.PflError, match=message):
        pfl.algorithms.imaml(closed.model(), steps=1, **arguments)
