"""Small populations, models and the table of all algorithms that tests run over."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import pfljax as pfl
from pfljax.models import losses
from pfljax.types import Metric, Model, Vars, Weighted


def people(num_clients: int = 10, num_features: int = 3, num_classes: int = 4, seed: int = 0) -> pfl.data.Population:
    """Ragged clients of 3 to 20 rows, a class task with a shift of its own for each client."""
    generator = np.random.default_rng(seed)
    clients = {}
    for index in range(num_clients):
        rows = int(generator.integers(3, 21))
        x = generator.normal(size=(rows, num_features)).astype(np.float32)
        y = ((x.sum(axis=1) + index) % num_classes).astype(np.int32)
        clients[f"c{index}"] = {"x": x, "y": y}
    return pfl.data.Population.from_clients(clients, about=pfl.data.About("zoo", num_classes=num_classes))


def tiny_model(population: pfl.data.Population) -> Model:
    return pfl.models.mlp(population, (5,))


def batch_norm_model(population: pfl.data.Population) -> Model:
    """A model with statistics and dropout: everything that a round has to carry."""

    class Net(nnx.Module):
        def __init__(self, rngs):
            self.body = nnx.Linear(population.arrays["x"].shape[1], 5, rngs=rngs)
            self.norm = nnx.BatchNorm(5, rngs=rngs)
            self.drop = nnx.Dropout(0.3, rngs=rngs)
            self.head = nnx.Linear(5, population.about.num_classes, rngs=rngs)

        def __call__(self, x, mask):
            return self.head(self.drop(jax.nn.relu(self.norm(self.body(x), mask=mask[:, None]))))

    inputs = lambda batch: (batch["x"], batch["mask"])
    metrics = {"accuracy": losses.accuracy()}
    return pfl.models.from_nnx(lambda rngs: Net(rngs), losses.cross_entropy(), metrics, inputs=inputs)


ALGORITHMS = {
    "fedavg": lambda model: pfl.algorithms.fedavg(model, optax.sgd(0.1), epochs=1, batch=4),
    "fedavg_all_rows": lambda model: pfl.algorithms.fedavg(model, optax.sgd(0.1), steps=2, batch=None),
    "fedavg_momentum": lambda model: pfl.algorithms.fedavg(
        model, optax.sgd(0.05, momentum=0.9), optax.sgd(1.0, momentum=0.5), steps=3, batch=4, weighting="uniform"
    ),
    "fedavg_finetune": lambda model: pfl.algorithms.fedavg_finetune(model, optax.sgd(0.1), epochs=1, batch=4),
    "local_only": lambda model: pfl.algorithms.local_only(model, optax.sgd(0.1), epochs=1, batch=4),
    "ditto": lambda model: pfl.algorithms.ditto(model, optax.sgd(0.1), epochs=1, batch=4, lam=0.5),
    "maml_exact": lambda model: pfl.algorithms.per_fedavg(model, optax.sgd(0.1), steps=2, batch=4, inner_steps=2),
    "maml_first": lambda model: pfl.algorithms.per_fedavg(model, optax.sgd(0.1), epochs=1, batch=4, order="first"),
    "maml_hessian_free": lambda model: pfl.algorithms.per_fedavg(
        model, optax.sgd(0.1), steps=2, batch=3, inner_steps=2, order="hessian_free"
    ),
    "anil": lambda model: pfl.algorithms.per_fedavg(model, optax.sgd(0.1), steps=2, batch=None, adapt="head/*"),
}
# One per way of using the engine: stateless, all rows, client state, state only, second order.
REPRESENTATIVES = ("fedavg", "fedavg_all_rows", "ditto", "local_only", "maml_exact")


def quadratic_model(dim: int, start: float = 0.0) -> Model:
    """f(w) = mean over rows of (w - c)' A (w - c) / 2; a row is x: [dim + dim * dim], c then A."""

    def apply(vars, batch, key, train):
        w, x = vars.params["w"], batch["x"].astype(vars.params["w"].dtype)
        gap, a = w[None] - x[:, :dim], x[:, dim:].reshape(-1, dim, dim)
        return 0.5 * jnp.einsum("bi,bij,bj->b", gap, a, gap), vars.stats

    loss = lambda outputs, batch: Weighted(outputs, jnp.ones(outputs.shape, outputs.dtype))
    total = Metric(lambda outputs, batch: {"sum": outputs}, lambda sums: sums["sum"], "lower")
    return Model(lambda key: Vars({"w": jnp.full((dim,), start)}), apply, loss, (("total", total),))


def quadratics(num_clients: int, dim: int, seed: int = 0, rows: int = 4) -> tuple[pfl.data.Population, list, list]:
    """(population, [A_i], [c_i]): every train, validation and test row of client i holds c_i and A_i, in float64."""
    generator = np.random.default_rng(seed)
    matrices, centres, clients = [], [], {}
    for index in range(num_clients):
        root = generator.normal(size=(dim, dim)) / np.sqrt(dim)
        matrices.append(root @ root.T + 0.2 * np.eye(dim))
        centres.append(generator.normal(size=dim))
        row = np.concatenate([centres[-1], matrices[-1].ravel()])
        clients[f"q{index}"] = {"x": np.tile(row, (rows + index, 1))}
    population = pfl.data.Population.from_clients(clients, split=(1.0, 0.0, 0.0))
    return population, matrices, centres
