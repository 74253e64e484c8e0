"""MAPPER: model interpolation. Mansour, Mohri, Ro, Suresh, "Three Approaches for Personalization with Applications to
Federated Learning", 2020, section 5, Algorithm 1.
"""

import jax
import jax.numpy as jnp
import optax
from jax import lax

from pfljax import keys, local
from pfljax.algorithms.fedavg import fedavg
from pfljax.errors import PflError, between
from pfljax.types import Algorithm, Model, Personal, Vars


def mapper(
    model: Model,
    client_opt: local.Optimizer | None = None,
    *,
    candidates: tuple[float, ...] = (0.25, 0.5, 0.75),
    lr: float = 0.1,
    batch: int | None = 32,
    weighting: local.Weighting = "uniform",
    **local_work,
) -> Algorithm:
    """A client predicts with lam v + (1 - lam) w: for every candidate lam it trains v, and keeps the best of them.

    "Best" is the loss on its train rows. The shared w then descends the mixture's loss with v as it is: its gradient is
    (1 - lam) times the mixture's. Client state is v and lam. lr: of v; client_opt is w's. Others: `fedavg`.

    Raises PflError for no candidate, or one outside 0 to 1.
    """
    if not candidates:
        raise PflError("candidates: expected at least one mixing weight, got none")
    for value in candidates:
        between("candidates", value, 0, 1)
    plain = lambda sent: local.sgd(sent.hyper["lr"])
    own, all_rows, client_opt = local.gradient(model, batch), local.all_rows_loss(model), local.optimizer(client_opt)
    base = fedavg(model, client_opt, batch=batch, weighting=weighting, hyper={"lr": lr}, **local_work)
    ((_, server),) = base.passes

    def init_client(key, sent):
        return sent.vars, jnp.full((), candidates[0], jnp.result_type(float))

    def on_v(lam, w):
        """The mixture's gradient with respect to v."""

        def gradient(key, step, v, sent, shard):
            loss, grads, stats = own(key, step, _mix(v, w, lam), sent, shard)
            return loss, jax.tree.map(lambda g: lam.astype(g.dtype) * g, grads), stats

        return gradient

    def client(key, sent, mine, shard):
        w, (v, _) = sent.vars, mine
        tried = []
        for value in candidates:
            lam = jnp.full((), value, jnp.result_type(float))
            end, _ = local.descend(on_v(lam, w), plain, keys.use(key, "personal"), v, sent, shard)
            tried.append((all_rows(_mix(end, w, lam), shard.train), (end, lam)))
        losses, ends = zip(*tried, strict=True)
        best = jnp.argmin(jnp.stack(losses)).astype(jnp.int32)
        v, lam = jax.tree.map(lambda *leaves: lax.select_n(best, *leaves), *ends)

        def on_w(key, step, now, sent, shard):
            loss, grads, stats = own(key, step, _mix(v, now, lam)._replace(stats=now.stats), sent, shard)
            return loss, jax.tree.map(lambda g: (1 - lam).astype(g.dtype) * g, grads), stats

        end, info = local.descend(on_w, client_opt, key, w, sent, shard)
        return local.change(w, end, shard, weighting), (v, lam), info | {"mixing_weight": lam}

    def start(key, sent, mine, shard):
        return Personal(_mix(mine[0], sent.vars, mine[1]), mine, jnp.int32(0))

    def step(key, personal, sent, shard):
        v, lam = personal.opt_state
        _, grads, stats = on_v(lam, sent.vars)(key, personal.step, v, sent, shard)
        updates = jax.tree.map(lambda g: -sent.hyper["lr"].astype(g.dtype) * g, grads)
        v = Vars(optax.apply_updates(v.params, updates), stats)
        return Personal(_mix(v, sent.vars, lam), (v, lam), personal.step + 1)

    num = len(candidates)
    return base._replace(
        name="mapper",
        init_client=init_client,
        passes=((client, server),),
        personal=(start, step),
        cost=lambda counts: (1 + num) * base.cost(counts) + num * local.full_loss(counts, batch),
    )


def _mix(v: Vars, w: Vars, lam: jax.Array) -> Vars:
    """lam v + (1 - lam) w; statistics are v's."""
    lerp = lambda v, w: lam.astype(v.dtype) * v + (1 - lam).astype(v.dtype) * w
    return Vars(jax.tree.map(lerp, v.params, w.params), v.stats)
