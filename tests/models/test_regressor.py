"""One output for numbers: shapes, training to the closed form, the best constant, bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import pfljax as pfl
from pfljax import PflError
from pfljax.data import Population
from pfljax.evaluate import constant
from pfljax.models import losses


def counts(num_clients: int = 6, seed: int = 0) -> Population:
    """Visits that follow a Poisson law with a rate of exposure * softplus(x)."""
    generator = np.random.default_rng(seed)
    clients = {}
    for index in range(num_clients):
        x = generator.normal(size=(20, 1)).astype(np.float32)
        exposure = generator.uniform(0.5, 1, 20).astype(np.float32)
        y = generator.poisson(exposure * np.log1p(np.exp(x[:, 0]))).astype(np.float32)
        clients[f"c{index}"] = {"x": x, "y": y, "exposure": exposure}
    return Population.from_clients(clients)


visits = losses.poisson(lambda batch: batch["exposure"])


@pytest.fixture(scope="module")
def population():
    return counts()


@pytest.fixture(scope="module")
def trained(population):
    """No hidden layer and all rows at once: convex, so training ends at the optimum of the seen clients."""
    model = pfl.models.regressor(population, ())
    algorithm = pfl.algorithms.fedavg(model, optax.sgd(0.3), steps=1, batch=None)
    return pfl.simulate(algorithm, population, cohort=6, rounds=200, unseen=0.0, seed=0, devices=2)


def train_rows(population) -> dict[str, np.ndarray]:
    parts = [population.client(name) for name in population.ids]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def test_training_reaches_least_squares(population, trained):
    rows = train_rows(population)
    design = np.concatenate([rows["x"], np.ones_like(rows["x"])], axis=1)
    expected = np.linalg.lstsq(design, rows["y"], rcond=None)[0]
    head = trained.vars.params["head"]
    np.testing.assert_allclose([head["kernel"][0, 0], head["bias"][0]], expected, atol=1e-4)


def test_the_best_constant_of_squares_is_the_mean(population, trained):
    found = constant(trained, population).server.vars.params["output"]
    assert found.shape == ()
    np.testing.assert_allclose(found, train_rows(population)["y"].mean(), rtol=1e-5)


def test_the_best_constant_of_counts_is_the_rate(population, trained):
    model = pfl.models.regressor(population, (), loss=visits)
    result = trained.__class__(**{**trained.__dict__, "algorithm": trained.algorithm._replace(model=model)})
    found = constant(result, population).server.vars.params["output"]
    rows = train_rows(population)
    np.testing.assert_allclose(jax.nn.softplus(found), rows["y"].sum() / rows["exposure"].sum(), rtol=1e-4)


def test_evaluation_has_the_constant_and_lower_is_better(population, trained):
    made = pfl.evaluate(trained, population, (0, 2), local_marks=(2,))
    assert made.metric == "mse"
    assert made.entries[0].name == "constant"
    rows = population.client("c3", "test")
    mean = train_rows(population)["y"].mean()
    assert made.entry("constant").test()[3] == pytest.approx(((rows["y"] - mean) ** 2).mean(), rel=1e-4)
    worse = made.entry("constant").test() > made.entry("shared").test()
    np.testing.assert_array_equal(made.hurt("constant"), worse)


def test_poisson_is_half_the_deviance_and_has_the_likelihoods_gradient():
    generator = np.random.default_rng(0)
    outputs = generator.normal(0, 3, 50)
    exposure, y = generator.uniform(0.2, 1, 50), generator.poisson(1.0, 50).astype(float)
    batch = {
        "y": jnp.asarray(y, jnp.float32),
        "exposure": jnp.asarray(exposure, jnp.float32),
        "mask": jnp.ones(50, bool),
    }
    mean = exposure * np.log1p(np.exp(outputs))
    logs = np.where(y > 0, y * np.log(np.where(y > 0, y, 1) / mean), 0)
    value = lambda o: visits(o, batch).value
    np.testing.assert_allclose(value(jnp.asarray(outputs, jnp.float32)), mean - y + logs, rtol=1e-4, atol=1e-5)
    slope = jax.grad(lambda o: value(o).sum())(jnp.asarray(outputs, jnp.float32))
    np.testing.assert_allclose(slope, (exposure - y * exposure / mean) / (1 + np.exp(-outputs)), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("far", [-500.0, 500.0])
def test_poisson_far_out_has_a_finite_slope(far):
    batch = {"y": jnp.array([0.0, 3.0]), "exposure": jnp.ones(2), "mask": jnp.ones(2, bool)}
    slope = jax.grad(lambda o: visits(o, batch).value.sum())(jnp.full(2, far))
    assert np.isfinite(slope).all()


@pytest.mark.parametrize(
    "arrays",
    [
        {"x": np.ones((4, 2), np.float32)},
        {"x": np.ones((4, 2), np.float32), "y": np.arange(4)},
        {"x": np.ones((4, 2), np.float32), "y": np.ones((4, 1), np.float32)},
    ],
)
def test_what_is_no_regression_is_refused(arrays):
    with pytest.raises(PflError, match="regressor: expected arrays 'x' and float y"):
        pfl.models.regressor(Population.from_clients({"a": arrays}))


def test_a_column_of_outputs_is_no_target():
    batch = {"y": jnp.ones(3), "exposure": jnp.ones(3), "mask": jnp.ones(3, bool)}
    with pytest.raises(PflError, match=r"poisson: expected outputs of y's shape \(3,\), got \(3, 1\)"):
        visits(jnp.ones((3, 1)), batch)
