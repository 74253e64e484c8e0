"""Small populations, models and the table of all algorithms that tests run over."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
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


A, SGD, EPOCH = pfl.algorithms, optax.sgd(0.1), {"epochs": 1, "batch": 4}
# One per way of using the engine: stateless, all rows, client state, state only, second order.
REPRESENTATIVES = ("fedavg", "fedavg_all_rows", "ditto", "local_only", "maml_exact")
ALGORITHMS = {
    "fedavg": lambda model: A.fedavg(model, SGD, **EPOCH),
    "fedavg_all_rows": lambda model: A.fedavg(model, SGD, steps=2, batch=None),
    "fedavg_momentum": lambda model: A.fedavg(
        model, optax.sgd(0.05, momentum=0.9), optax.sgd(1.0, momentum=0.5), steps=3, batch=4, weighting="uniform"
    ),
    "fedavg_finetune": lambda model: A.fedavg_finetune(model, SGD, **EPOCH),
    "local_only": lambda model: A.local_only(model, SGD, **EPOCH),
    "ditto": lambda model: A.ditto(model, SGD, lam=0.5, **EPOCH),
    "maml_exact": lambda model: A.per_fedavg(model, SGD, steps=2, batch=4, inner_steps=2),
    "maml_first": lambda model: A.per_fedavg(model, SGD, order="first", **EPOCH),
    "maml_hessian_free": lambda model: A.per_fedavg(model, SGD, steps=2, batch=3, inner_steps=2, order="hessian_free"),
    "anil": lambda model: A.anil(model, SGD, steps=2, batch=None, adapt="head/*"),
    "fedprox": lambda model: A.fedprox(model, SGD, mu=0.1, **EPOCH),
    "scaffold": lambda model: A.scaffold(model, **EPOCH),
    "scaffold_gradient": lambda model: A.scaffold(model, option="gradient", **EPOCH),
    "fednova": lambda model: A.fednova(model, optax.sgd(0.1, momentum=0.9), **EPOCH),
    "fedavgm": lambda model: A.fedavgm(model, SGD, **EPOCH),
    "fedadagrad": lambda model: A.fedadagrad(model, SGD, **EPOCH),
    "fedadam": lambda model: A.fedadam(model, SGD, **EPOCH),
    "fedyogi": lambda model: A.fedyogi(model, SGD, **EPOCH),
    "feddyn": lambda model: A.feddyn(model, SGD, **EPOCH),
    "mimelite": lambda model: A.mimelite(model, optax.sgd(0.1, momentum=0.9), **EPOCH),
    "mime": lambda model: A.mime(model, optax.sgd(0.1, momentum=0.9), **EPOCH),
    "fedexp": lambda model: A.fedexp(model, SGD, **EPOCH),
    "qfedavg": lambda model: A.qfedavg(model, **EPOCH),
    "afl": lambda model: A.afl(model),
    "reptile": lambda model: A.reptile(model, SGD, step_size=0.5, **EPOCH),
    "imaml": lambda model: A.imaml(model, SGD, inner_steps=3, cg_steps=2, steps=2, batch=4),
    "meta_sgd": lambda model: A.meta_sgd(model, SGD, steps=2, batch=4),
    "pfedme": lambda model: A.pfedme(model, lr=0.01, **EPOCH),
    "apfl": lambda model: A.apfl(model, SGD, alpha_lr=0.01, **EPOCH),
    "mapper": lambda model: A.mapper(model, SGD, candidates=(0.3, 0.7), **EPOCH),
    "l2gd": lambda model: A.l2gd(model, prob=0.5, lam=0.5),
    "fedsim": lambda model: A.fedsim(model, SGD, shared="body/*", **EPOCH),
    "fedper": lambda model: A.fedper(model, SGD, **EPOCH),
    "lg_fedavg": lambda model: A.lg_fedavg(model, SGD, **EPOCH),
    "fedalt": lambda model: A.fedalt(model, SGD, shared="body/*", **EPOCH),
    "fedrep": lambda model: A.fedrep(model, SGD, head_passes=2, **EPOCH),
    "fedbabu": lambda model: A.fedbabu(model, SGD, **EPOCH),
    "fedrecon": lambda model: A.fedrecon(model, SGD, shared="body/*", recon_steps=3, **EPOCH),
    "fedrod": lambda model: A.fedrod(model, SGD, **EPOCH),
    "lora": lambda model: A.lora(model, SGD, rank=2, **EPOCH),
    "ifca": lambda model: A.ifca(model, SGD, clusters=3, **EPOCH),
    "fedala": lambda model: A.fedala(model, SGD, **EPOCH),
    "pfedhn": lambda model: A.pfedhn(model, SGD, embedding=4, hidden=6, **EPOCH),
    "fedproto": lambda model: A.fedproto(model, SGD, **EPOCH),
    "knn_per": lambda model: A.knn_per(model, SGD, neighbours=3, capacity=8, **EPOCH),
    "fedfomo": lambda model: A.fedfomo(model, SGD, candidates=3, **EPOCH),
}
# The same check for each of them takes minutes: all but those that stand for the others are run as slow tests.
EVERY = [name if name in REPRESENTATIVES else pytest.param(name, marks=pytest.mark.slow) for name in ALGORITHMS]


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
