"""FedNova. Wang et al., "Tackling the Objective Inconsistency Problem in Heterogeneous Federated Optimization",
NeurIPS 2020, eq. (10): every client's change is divided by how far its steps reach, and the mean is scaled back.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from pfljax import local
from pfljax.algorithms.fedavg import fedavg
from pfljax.errors import at_least
from pfljax.types import Algorithm, Mean, Model, Vars


def fednova(
    model: Model,
    client_opt: local.Optimizer | None = None,
    server_opt: optax.GradientTransformation | None = None,
    *,
    mu: float = 0.0,
    batch: int | None = 32,
    weighting: local.Weighting = "examples",
    **local_work,
) -> Algorithm:
    """FedAvg whose clients count alike per step, not per round; with equal numbers of steps it is FedAvg.

    client_opt: any optimizer that is linear in its gradients, coordinate by coordinate (SGD, momentum, decay). How far
                its steps reach, lr |a_i|_1 in the paper, is measured by running it on a gradient of one.
    mu:         FedProx's pull, accounted for in |a_i|_1. Other arguments: `fedavg`. Raises PflError for a negative mu.
    """
    at_least("mu", mu, 0)
    client_opt = optax.sgd(0.1) if client_opt is None else client_opt
    pulled = local.proximal(local.gradient(model, batch), "mu")
    base = fedavg(
        model, client_opt, server_opt, batch=batch, weighting=weighting, gradient=pulled, hyper={"mu": mu}, **local_work
    )
    ((train, step),) = base.passes

    def client(key, sent, mine, shard):
        change, _, info = train(key, sent, mine, shard)
        reach = _reach(local.resolve(client_opt, sent), shard.num_steps, sent.hyper["mu"])
        scale = lambda delta: delta / jnp.where(reach > 0, reach, 1).astype(delta.dtype)
        normalized = change.value._replace(params=jax.tree.map(scale, change.value.params))
        return (change._replace(value=normalized), Mean(reach, change.weight)), mine, info

    def server(key, server, aggregate):
        change, reach = aggregate.value
        delta = jax.tree.map(lambda d: reach.astype(d.dtype) * d, change.params)  # tau_eff times the mean direction
        return step(key, server, aggregate._replace(value=Vars(delta, change.stats)))

    return base._replace(name="fednova", passes=((client, server),))


def _reach(opt: optax.GradientTransformation, num_steps: jax.Array, mu: jax.Array) -> jax.Array:
    """How far the optimizer goes from 0 in so many steps along a gradient of 1 and the pull back of mu: lr |a|_1."""

    def step(_, carry):
        w, state = carry
        updates, state = opt.update(1 + mu.astype(w.dtype) * w, state, w)
        return optax.apply_updates(w, updates), state

    start = jnp.zeros((), jnp.result_type(float))
    return -lax.fori_loop(np.int32(0), num_steps, step, (start, opt.init(start)))[0]
