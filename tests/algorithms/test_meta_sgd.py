"""Meta-SGD: the rates' gradient, rates that stand still, and the rates that it learns."""

import numpy as np
import optax
import pytest

import pfljax as pfl
from tests.support import closed
from tests.support.zoo import quadratic_model


def rates(result) -> np.ndarray:
    return np.asarray(result.server.extra["w"])


def test_the_rates_gradient_is_minus_support_times_query():
    """One client of two rows, each a quadratic of its own: one is support, the other query."""
    generator = np.random.default_rng(3)
    a = [r @ r.T for r in generator.normal(size=(2, 3, 3))]
    c = generator.normal(size=(2, 3))
    table = np.stack([np.concatenate([c[i], a[i].ravel()]) for i in range(2)])
    population = pfl.data.Population.from_clients({"one": {"x": table}}, (1.0, 0.0, 0.0))
    inner_lr, beta = 0.1, 0.5
    algorithm = pfl.algorithms.meta_sgd(quadratic_model(3, 0.7), optax.sgd(beta), inner_lr=inner_lr, steps=1, batch=1)
    result = closed.run(algorithm, population, 1)
    found = (inner_lr - rates(result)) / beta

    def gradient(support, query):
        g = a[support] @ (0.7 - c[support])
        return -g * (a[query] @ (0.7 - inner_lr * g - c[query]))

    assert min(np.abs(gradient(*each) - found).max() for each in ((0, 1), (1, 0))) < 1e-12
    assert min(np.abs(gradient(*each) - found).max() for each in ((0, 0), (1, 1))) > 1e-3


def test_rates_that_stand_still_are_maml():
    zoo = closed.Zoo(3)
    work = {"inner_lr": 0.15, "steps": 3, "batch": 2}
    still = optax.partition(
        {"moves": optax.sgd(0.1), "stays": optax.set_to_zero()}, {"model": "moves", "rates": "stays"}
    )
    ours = zoo.run(pfl.algorithms.meta_sgd(closed.model(), still, **work), 4)
    maml = zoo.run(pfl.algorithms.per_fedavg(closed.model(), optax.sgd(0.1), **work), 4)
    np.testing.assert_allclose(closed.shared(ours), closed.shared(maml), rtol=0, atol=1e-14)
    np.testing.assert_array_equal(rates(ours), np.full(closed.DIM, 0.15))


def test_it_learns_newtons_rates():
    """Clients with one diagonal A, centres apart: the rates end at 1 / A, and one step reaches any client's centre."""
    diagonal = np.array([0.5, 1.0, 2.0])
    centres = np.random.default_rng(0).normal(size=(4, 3))
    row = lambda c: np.tile(np.concatenate([c, np.diag(diagonal).ravel()]), (4, 1))
    population = pfl.data.Population.from_clients({i: {"x": row(c)} for i, c in enumerate(centres)}, (1.0, 0.0, 0.0))
    algorithm = pfl.algorithms.meta_sgd(closed.model(), optax.sgd(0.2), inner_lr=0.3, steps=1, batch=None)
    result = closed.run(algorithm, population, 4000)
    np.testing.assert_allclose(rates(result), 1 / diagonal, rtol=0, atol=1e-9)
    np.testing.assert_allclose(closed.personal(result, 2, 1), centres[2], rtol=0, atol=1e-9)


def test_what_is_not_its_own_is_refused():
    with pytest.raises(TypeError, match="order"):
        pfl.algorithms.meta_sgd(closed.model(), steps=1, order="first")
    with pytest.raises(pfl.PflError, match=r"inner_lr: expected a number of at least 0, got -1\.0"):
        pfl.algorithms.meta_sgd(closed.model(), steps=1, inner_lr=-1.0)
