"""Per-FedAvg off the quadratics, where Hessians move, and on rows that differ, where batches must be disjoint."""

import itertools

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import pfljax as pfl
from pfljax.types import Model, Vars, Weighted
from tests.support import closed
from tests.support.zoo import quadratic_model

ALPHA = 0.2
START = np.array([0.9, -0.4, 0.6])
COUPLING = np.array([[1.0, 0.5, 0.0], [0.0, 1.0, -0.5], [0.3, 0.0, 1.0]])


def quartic() -> Model:
    """f(w) = sum_j (B w - x)_j^4 / 4 for one row x: its Hessian is another at every point."""

    def apply(vars, batch, key, train):
        return (vars.params["w"] @ jnp.asarray(COUPLING.T))[None] - batch["x"], vars.stats

    loss = lambda outputs, batch: Weighted((outputs**4).sum(axis=-1) / 4, jnp.ones(outputs.shape[:1], outputs.dtype))
    return Model(lambda key: Vars({"w": jnp.asarray(START)}), apply, loss, ())


def slope(w):
    return COUPLING.T @ (COUPLING @ w) ** 3


def hessian(w):
    return COUPLING.T @ np.diag(3 * (COUPLING @ w) ** 2) @ COUPLING


def transcribed(order, inner_steps, delta=None, is_at_the_end=False):
    path = [START]
    for _ in range(inner_steps):
        path.append(path[-1] - ALPHA * slope(path[-1]))
    v = slope(path[-1])
    for point in reversed(path[:-1]):
        point = path[-1] if is_at_the_end else point
        if order == "exact":
            v = v - ALPHA * hessian(point) @ v
        if order == "hessian_free":
            v = v - ALPHA * (slope(point + delta * v) - slope(point - delta * v)) / (2 * delta)
    return v


@pytest.mark.parametrize(
    ("order", "inner_steps", "delta"), [("exact", 3, None), ("first", 3, None), ("hessian_free", 3, 0.3)]
)
def test_meta_gradient_where_hessians_move(order, inner_steps, delta):
    population = pfl.data.Population.from_clients({"one": {"x": np.zeros((6, 3))}}, (1.0, 0.0, 0.0))
    algorithm = pfl.algorithms.per_fedavg(
        quartic(), optax.sgd(1.0), inner_lr=ALPHA, inner_steps=inner_steps, order=order,
        steps=1, batch=2, delta=delta or 1e-3,
    )  # fmt: skip
    found = START - closed.shared(closed.run(algorithm, population, 1))
    np.testing.assert_allclose(found, transcribed(order, inner_steps, delta), rtol=0, atol=1e-12)
    if order != "first":
        wrong = transcribed(order, inner_steps, delta, is_at_the_end=True)  # curvature of the adapted point
        assert np.abs(wrong - found).max() > 1e-3


@pytest.mark.parametrize("order", ["exact", "hessian_free"])
def test_batches_are_disjoint(order):
    """As many rows as batches, and every row a quadratic of its own: each row is used once."""
    rows = {"exact": 2, "hessian_free": 3}[order]
    generator = np.random.default_rng(5)
    a = [r @ r.T + 0.2 * np.eye(3) for r in generator.normal(size=(rows, 3, 3))]
    c = generator.normal(size=(rows, 3))
    table = np.stack([np.concatenate([c[i], a[i].ravel()]) for i in range(rows)])
    population = pfl.data.Population.from_clients({"one": {"x": table}}, (1.0, 0.0, 0.0))
    algorithm = pfl.algorithms.per_fedavg(
        quadratic_model(3, 0.7), optax.sgd(1.0), inner_lr=ALPHA, order=order, steps=1, batch=1
    )
    found = 0.7 - closed.shared(closed.run(algorithm, population, 1))

    def meta(support, query, third):
        adapted = 0.7 - ALPHA * a[support] @ (0.7 - c[support])
        return (np.eye(3) - ALPHA * a[third]) @ a[query] @ (adapted - c[query])

    distance = lambda *batches: np.abs(meta(*batches) - found).max()
    orders = [(*p, p[0])[:3] for p in itertools.permutations(range(rows))]  # two rows: the Hessian is the support's
    assert min(distance(*each) for each in orders) < 1e-10
    shared = [each for each in itertools.product(range(rows), repeat=3) if each not in orders]
    assert min(distance(*each) for each in shared) > 1e-3


def test_personal_steps_are_the_inner_loop():
    """w after K steps: c + (I - alpha A)^K (w - c)."""
    zoo = closed.Zoo(1)
    algorithm = pfl.algorithms.per_fedavg(closed.model(), optax.sgd(0.1), inner_lr=ALPHA, steps=1, batch=None)
    result = zoo.run(algorithm, 2)
    left = np.linalg.matrix_power(closed.EYE - ALPHA * zoo.a[0], 4)
    expected = zoo.c[0] + left @ (closed.shared(result) - zoo.c[0])
    np.testing.assert_allclose(closed.personal(result, 0, 4), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("delta", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_delta(delta):
    with pytest.raises(pfl.PflError, match=f"delta: expected a positive number, got {delta}"):
        pfl.algorithms.per_fedavg(closed.model(), order="hessian_free", steps=1, delta=delta)
