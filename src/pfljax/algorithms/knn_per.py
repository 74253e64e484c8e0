"""kNN-Per. Marfoq, Neglia, Kameni, Vidal, "Personalized Federated Learning through Local Memorization", ICML 2022.

After FedAvg each client stores its rows' features and mixes the shared model with its nearest neighbours (eq. 9, 10).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from pfljax import keys, local
from pfljax.algorithms.fedavg import fedavg
from pfljax.errors import PflError, between, whole
from pfljax.types import Algorithm, Model, Vars

TINY = 1e-12  # the least probability, where a logarithm is taken


class Store(NamedTuple):
    """vars: the shared model; features: [row, feature]; labels, mask: [row]; lam: the neighbours' share; step."""

    vars: Vars
    features: jax.Array
    labels: jax.Array
    mask: jax.Array
    lam: jax.Array
    step: jax.Array


def knn_per(
    model: Model,
    client_opt: local.Optimizer | None = None,
    *,
    lam: float = 0.5,
    neighbours: int = 10,
    capacity: int = 256,
    scale: float = 1.0,
    **fedavg_arguments,
) -> Algorithm:
    """Trains as `fedavg` does; predicts log of lam * p_neighbours + (1 - lam) * p_model.

    neighbours: the nearest stored rows vote with weight exp(-distance^2 / (scale * feature size)). capacity: rows
    stored, a random choice where a client has more. lam = 0 is FedAvg's model. The model's outputs must be class logits
    and it must have features. Other arguments: `fedavg`. Raises PflError for lam outside 0 to 1, a scale that is
    not positive, or no features.
    """
    between("lam", lam, 0, 1)
    num, capacity = whole("neighbours", neighbours), whole("capacity", capacity, neighbours)
    if not scale > 0:
        raise PflError(f"scale: expected a positive number, got {scale}")
    features = local.features_of(model, "knn_per")
    base = fedavg(model, client_opt, hyper={"lam": lam}, **fedavg_arguments)
    look = lambda vars, rows: features.apply(vars, rows, keys.root(0), False)

    def start(key, sent, mine, shard):
        rows = shard.train.batch(keys.use(key, "store"), jnp.int32(0), capacity)
        labels = rows["y"].astype(jnp.int32)
        found, *_ = look(sent.vars, rows)
        return Store(sent.vars, found, labels, rows["mask"], sent.hyper["lam"], jnp.int32(0))

    def predict(store, batch):
        found, outputs, _ = look(store.vars, batch)
        shared = jax.nn.softmax(outputs)
        near = _votes(store, found, features.num_classes, num, scale)
        lam = jnp.where(store.mask.any(), store.lam, 0).astype(shared.dtype)
        return jnp.log(jnp.maximum(lam * near + (1 - lam) * shared, TINY))

    return base._replace(name="knn_per", personal=(start, local.stay), predict=predict)


def _votes(store: Store, found: jax.Array, num_classes: int, num: int, scale: float) -> jax.Array:
    """[batch, class]: each class's share of the nearest stored rows' weight."""
    square = lambda x: jnp.sum(x**2, axis=-1)
    distance = square(found)[:, None] - 2 * found @ store.features.T + square(store.features)[None]
    distance = jnp.where(store.mask[None], distance, jnp.inf)
    nearest, index = jax.lax.top_k(-distance, num)
    weight = jax.nn.softmax(nearest / (scale * found.shape[-1]))  # exp(-d), as shares; 0 for what is not there
    classes = jax.nn.one_hot(store.labels[index], num_classes, dtype=found.dtype)
    return jnp.einsum("bk,bkc->bc", jnp.where(jnp.isfinite(nearest), weight, 0), classes)
