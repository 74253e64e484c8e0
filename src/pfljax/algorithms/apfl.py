"""APFL. Deng, Kamani, Mahdavi, "Adaptive Personalized Federated Learning", 2020, Algorithm 1.

A client predicts with alpha v + (1 - alpha) w: parameters are mixed, not outputs.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pfljax import local
from pfljax.algorithms.fedavg import fedavg
from pfljax.errors import at_least, between
from pfljax.types import Algorithm, Model, Personal, Vars


def apfl(
    model: Model,
    client_opt: local.Optimizer | None = None,
    *,
    alpha: float = 0.5,
    alpha_lr: float = 0.0,
    lr: float = 0.1,
    batch: int | None = 32,
    weighting: local.Weighting = "uniform",
    **local_work,
) -> Algorithm:
    """Client state is v, a whole model, and alpha. On each batch w takes a step of FedAvg, v one through the mixture.

    alpha:    where every client starts; alpha_lr: the rate at which it adapts (eq. 10), 0 keeps it
    lr:       of v; client_opt is w's. w's trajectory is FedAvg's, bit for bit. Other arguments: `fedavg`.

    Raises PflError for alpha outside 0 to 1.
    """
    between("alpha", alpha, 0, 1)
    at_least("alpha_lr", alpha_lr, 0)
    hyper = {"alpha": alpha, "alpha_lr": alpha_lr, "lr": lr}
    base = fedavg(model, client_opt, batch=batch, weighting=weighting, hyper=hyper, **local_work)
    own, client_opt = local.gradient(model, batch), local.optimizer(client_opt)
    ((_, server),) = base.passes

    def init_client(key, sent):
        return sent.vars, sent.hyper["alpha"]

    def own_step(key, index, mine, w, sent, shard):
        """v and alpha descend f(alpha v + (1 - alpha) w)."""
        (v, alpha), rates = mine, (sent.hyper["lr"], sent.hyper["alpha_lr"])
        _, grads, stats = own(key, index, _mix(mine, w), sent, shard)
        params = jax.tree.map(lambda v, g: v - (rates[0] * alpha).astype(v.dtype) * g, v.params, grads)
        dot = lambda g, v, w: jnp.vdot(g, v - w).astype(alpha.dtype)
        along = lambda: sum(jax.tree.leaves(jax.tree.map(dot, grads, v.params, w.params)))
        # Not worked out where it moves nothing: it takes as long as half a gradient.
        slope = lax.cond(rates[1] > 0, along, lambda: jnp.zeros_like(alpha))
        return Vars(params, stats), jnp.clip(alpha - rates[1] * slope, 0, 1)

    def client(key, sent, mine, shard):
        opt = local.resolve(client_opt, sent)

        def step(index, carry):
            w, state, mine, total = carry
            loss, grads, stats = own(key, index, w, sent, shard)
            mine = own_step(key, index, mine, w, sent, shard)
            updates, state = opt.update(grads, state, w.params)
            w = Vars(jax.tree.map(jnp.add, w.params, updates), stats)
            return w, state, mine, total + loss.astype(total.dtype)

        start = (sent.vars, opt.init(sent.vars.params), mine, jnp.zeros(()))
        w, _, mine, total = lax.fori_loop(np.int32(0), shard.num_steps, step, start)
        info = {"loss": total / jnp.maximum(shard.num_steps, 1).astype(total.dtype), "alpha": mine[1]}
        return local.change(sent.vars, w, shard, weighting), mine, info

    def begin(key, sent, mine, shard):
        return Personal(_mix(mine, sent.vars), mine, jnp.int32(0))

    def adapt(key, personal, sent, shard):
        mine = own_step(key, personal.step, personal.opt_state, sent.vars, sent, shard)
        return Personal(_mix(mine, sent.vars), mine, personal.step + 1)

    return base._replace(
        name="apfl",
        init_client=init_client,
        passes=((client, server),),
        personal=(begin, adapt),
        cost=lambda counts: 2 * base.cost(counts),
    )


def _mix(mine: tuple[Vars, jax.Array], w: Vars) -> Vars:
    """alpha v + (1 - alpha) w; statistics are the client's own."""
    v, alpha = mine
    lerp = lambda v, w: alpha.astype(v.dtype) * v + (1 - alpha).astype(v.dtype) * w
    return Vars(jax.tree.map(lerp, v.params, w.params), v.stats)
