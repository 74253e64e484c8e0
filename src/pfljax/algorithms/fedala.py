"""FedALA. Zhang et al., "FedALA: Adaptive Local Aggregation for Personalized Federated Learning", AAAI 2023, Alg. 1.

A client starts a round from w_old + (w_sent - w_old) * W, with an elementwise W of its own that it learns (eq. 3, 4).
"""

import jax
import jax.numpy as jnp
from jax import lax

from pfljax import keys, local
from pfljax.algorithms.fedavg import fedavg
from pfljax.errors import whole
from pfljax.types import Algorithm, Model, Vars


def fedala(
    model: Model,
    client_opt: local.Optimizer | None = None,
    *,
    adaptive: str = "head/*",
    weight_lr: float = 1.0,
    weight_steps: int = 5,
    batch: int | None = 32,
    weighting: local.Weighting = "examples",
    **local_work,
) -> Algorithm:
    """Client state is W and its last own model, both of the parameters that match `adaptive` only.

    adaptive:     the paper's upper layers; the others are taken as sent. "*" is all
    weight_steps: steps of `weight_lr` on W in every round, clipped to 0 and 1. The authors' first round goes on until
                  the loss settles; here it takes as many as any other. W starts at one, where w_sent is taken whole.
    Other arguments: `fedavg`. Raises PflError for a pattern that matches nothing.
    """
    whole("weight_steps", weight_steps)
    base = fedavg(model, client_opt, batch=batch, weighting=weighting, hyper={"weight_lr": weight_lr}, **local_work)
    own, client_opt = local.gradient(model, batch), local.optimizer(client_opt)
    ((_, server),) = base.passes

    def init_client(key, sent):
        old, _ = local.split(sent.vars, adaptive)
        return old, jax.tree.map(jnp.ones_like, old.params)

    def begin(mine, sent):
        (old, weights), new = mine, local.split(sent.vars, adaptive)[0]
        blend = lambda old, new, w: old + (new - old) * w
        return Vars(local.join(jax.tree.map(blend, old.params, new.params, weights), sent.vars.params), sent.vars.stats)

    def learn_weights(key, mine, sent, shard):
        old, new = mine[0], local.split(sent.vars, adaptive)[0]
        gap = jax.tree.map(jnp.subtract, new.params, old.params)
        rate = sent.hyper["weight_lr"]

        def step(index, weights):
            _, grads, _ = own(key, index, begin((old, weights), sent), sent, shard)
            part = local.split(Vars(grads), adaptive)[0].params
            move = lambda w, g, gap: jnp.clip(w - rate.astype(w.dtype) * g * gap, 0, 1)
            return jax.tree.map(move, weights, part, gap)

        # Without rows there is nothing to learn from: the gradient of no loss is 0.
        return old, lax.fori_loop(jnp.int32(0), jnp.int32(weight_steps), step, mine[1])

    def client(key, sent, mine, shard):
        mine = learn_weights(keys.use(key, "weights"), mine, sent, shard)
        vars, info = local.descend(own, client_opt, key, begin(mine, sent), sent, shard)
        mine = local.split(vars, adaptive)[0], mine[1]
        return local.change(sent.vars, vars, shard, weighting), mine, info

    return base._replace(
        name="fedala",
        init_client=init_client,
        passes=((client, server),),
        personal=local.finetune(own, client_opt, begin=lambda sent, mine: begin(mine, sent)),
        cost=lambda counts: base.cost(counts) + weight_steps,
    )
