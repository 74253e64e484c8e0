"""Closed forms on quadratic clients f_i(w) = (w - c_i)' A_i (w - c_i) / 2, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import pfljax as pfl
from pfljax.engine import reference
from tests.support.closed import own, run, shared, solve
from tests.support.zoo import quadratic_model, quadratics

DIM = 4


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("num_steps", [1, 5])
@pytest.mark.parametrize("weighting", ["uniform", "examples"])
def test_fedavg_converges_to_its_biased_fixed_point(num_steps, weighting):
    population, a, c = quadratics(5, DIM)
    lr = 0.1
    algorithm = pfl.algorithms.fedavg(
        quadratic_model(DIM), optax.sgd(lr), steps=num_steps, batch=None, weighting=weighting
    )
    found = shared(run(algorithm, population, 3000))
    s = [np.eye(DIM) - np.linalg.matrix_power(np.eye(DIM) - lr * m, num_steps) for m in a]
    shares = population.sizes("train") if weighting == "examples" else np.ones(5)
    weighted = lambda matrices: [share * matrix for share, matrix in zip(shares, matrices, strict=True)]
    np.testing.assert_allclose(found, solve(weighted(s), c), atol=1e-10)
    pooled = np.abs(found - solve(weighted(a), c)).max()
    assert pooled < 1e-10 if num_steps == 1 else pooled > 1e-3


def test_one_full_batch_step_is_centralised_gradient_descent():
    population, a, c = quadratics(5, DIM)
    lr, rounds = 0.1, 7
    algorithm = pfl.algorithms.fedavg(quadratic_model(DIM, 0.5), optax.sgd(lr), steps=1, batch=None)
    shares = population.sizes("train") / population.sizes("train").sum()
    w = np.full(DIM, 0.5)
    for _ in range(rounds):
        w = w - lr * sum(n * m @ (w - x) for n, m, x in zip(shares, a, c, strict=True))
    np.testing.assert_allclose(shared(run(algorithm, population, rounds)), w, atol=1e-12)


def meta_step(order, inner_steps=1, alpha=0.2, adapt=None):
    """(w after one round of one full-batch meta-step of rate 1 for one client, A, c, the start)."""
    population, (a,), (c,) = quadratics(1, DIM, seed=3)
    algorithm = pfl.algorithms.per_fedavg(
        quadratic_model(DIM, 0.7), optax.sgd(1.0), inner_lr=alpha, inner_steps=inner_steps, order=order,
        steps=1, batch=None, adapt=adapt, delta=0.1,
    )  # fmt: skip
    return shared(run(algorithm, population, 1)), a, c, np.full(DIM, 0.7)


@pytest.mark.parametrize("inner_steps", [1, 3])
@pytest.mark.parametrize("order", ["exact", "first", "hessian_free"])
def test_meta_gradients(order, inner_steps):
    alpha = 0.2
    found, a, c, start = meta_step(order, inner_steps, alpha)
    inner = np.linalg.matrix_power(np.eye(DIM) - alpha * a, inner_steps)
    outer = a if order == "first" else inner @ a  # hessian_free is exact on quadratics, whatever delta is
    np.testing.assert_allclose(start - found, outer @ inner @ (start - c), atol=1e-11)


def test_exact_and_first_order_differ():
    assert np.abs(meta_step("exact")[0] - meta_step("first")[0]).max() > 1e-3


def test_maml_with_inner_rate_zero_is_fedavg():
    population, *_ = quadratics(3, DIM)
    model, opt = quadratic_model(DIM, 0.3), optax.sgd(0.1)
    maml = pfl.algorithms.per_fedavg(model, opt, inner_lr=0.0, steps=4, batch=None)
    plain = pfl.algorithms.fedavg(model, opt, steps=4, batch=None, weighting="uniform")
    np.testing.assert_allclose(shared(run(maml, population, 3)), shared(run(plain, population, 3)), rtol=0, atol=1e-14)


@pytest.mark.parametrize("order", ["exact", "first"])
def test_maml_learns_the_closed_form_minimiser(order):
    """Many rounds of one meta-step: the zero of the mean meta-gradient (Fallah et al., eq. 5), or FOMAML's."""
    population, a, c = quadratics(4, DIM, seed=1)
    alpha = 0.15
    algorithm = pfl.algorithms.per_fedavg(
        quadratic_model(DIM), optax.sgd(0.2), inner_lr=alpha, order=order, steps=1, batch=None
    )
    found = shared(run(algorithm, population, 4000))
    left = [np.eye(DIM) - alpha * m for m in a]
    m = [(i @ x @ i if order == "exact" else x @ i) for i, x in zip(left, a, strict=True)]
    np.testing.assert_allclose(found, solve(m, c), atol=1e-10)


def test_reptile_is_fedavg_with_a_server_rate():
    """One client, server rate e: w moves by e (I - (I - lr A)^K) (w - c) (Nichol et al., 2018)."""
    population, (a,), (c,) = quadratics(1, DIM, seed=2)
    algorithm = pfl.algorithms.fedavg(quadratic_model(DIM, 0.7), optax.sgd(0.1), optax.sgd(0.3), steps=6, batch=None)
    found = shared(run(algorithm, population, 1))
    start = np.full(DIM, 0.7)
    moved = (np.eye(DIM) - np.linalg.matrix_power(np.eye(DIM) - 0.1 * a, 6)) @ (start - c)
    np.testing.assert_allclose(found, start - 0.3 * moved, atol=1e-12)


def test_ditto_fixed_point():
    """v_i = (A_i + lam I)^-1 (A_i c_i + lam w) once w stands still (Li et al., eq. 1)."""
    population, a, c = quadratics(4, DIM)
    lam = 0.7
    algorithm = pfl.algorithms.ditto(quadratic_model(DIM), optax.sgd(0.1), lam=lam, steps=2, batch=None)
    result = run(algorithm, population, 2000)
    w = shared(result)
    for v, m, x in zip(own(result), a, c, strict=True):
        np.testing.assert_allclose(v, np.linalg.solve(m + lam * np.eye(DIM), m @ x + lam * w), atol=1e-10)


def test_local_only_finds_each_clients_own_minimum():
    population, _, c = quadratics(4, DIM)
    algorithm = pfl.algorithms.local_only(quadratic_model(DIM), optax.sgd(0.3), steps=20, batch=None)
    result = run(algorithm, population, 200)
    np.testing.assert_allclose(own(result), np.stack(c), atol=1e-10)
    np.testing.assert_array_equal(shared(result), np.zeros(DIM))


def test_engine_equals_reference_in_float64():
    population, *_ = quadratics(6, DIM)
    algorithm = pfl.algorithms.ditto(
        quadratic_model(DIM, 1.0), optax.sgd(0.05, momentum=0.9), lam=0.3, epochs=2, batch=2
    )
    arguments = {"cohort": 4, "rounds": 5, "unseen": 0.2, "seed": 9}
    server, *_ = reference.simulate(algorithm, population, **arguments)
    result = pfl.simulate(algorithm, population, devices=2, width=2, **arguments)
    np.testing.assert_allclose(shared(result), np.asarray(server.vars.params["w"]), atol=1e-13)


def test_the_mean_of_weights_survives_zero_weight():
    """finish() of nobody is zero, not NaN."""
    from pfljax.aggregate import contribution, finish
    from pfljax.types import Mean

    upload = Mean({"w": jnp.full((2,), jnp.nan)}, jnp.float64(3))
    gone = contribution(upload, jnp.bool_(False))
    np.testing.assert_array_equal(finish(gone, upload)["w"], np.zeros(2))
