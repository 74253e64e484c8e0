"""L2GD: mixtures of local and global models. Hanzely, Richtarik, "Federated Learning of a Mixture of Global and Local
Models", 2020, Algorithm 1: every client keeps its own x_i; a coin says whether all train or all move to the mean.
"""

import jax
import jax.numpy as jnp

from pfljax import keys, local
from pfljax.algorithms.fedavg import fedavg
from pfljax.errors import PflError, at_least
from pfljax.types import Algorithm, Mean, Model, Vars


def l2gd(model: Model, *, lam: float = 1.0, prob: float = 0.2, lr: float = 0.05, batch: int | None = None) -> Algorithm:
    """Minimises the mean of f_i(x_i) + lam / 2 * |x_i - mean x|^2; a round is one iteration, and needs every client.

    prob: of the coin; with it x_i <- x_i - (lr lam / prob) (x_i - mean x), else x_i <- x_i - lr / (1 - prob) grad f_i.
    lr:   the paper's over the number of clients. Client state is x_i, a whole model; the server holds their mean.

    A cohort smaller than all seen clients trains that cohort only, towards its own mean. Raises PflError for prob
    outside 0 to 1, a negative lam, or lr lam > prob, where a client would overshoot the mean.
    """
    at_least("lam", lam, 0)
    if not 0 < prob < 1:
        raise PflError(f"prob: expected a number between 0 and 1, got {prob}")
    if lr * lam > prob:
        raise PflError(f"lr: expected lr * lam of at most prob = {prob}, got {lr * lam:g}; lower lr or raise prob")
    base = fedavg(model, steps=1, batch=batch, weighting="uniform", hyper={"lam": lam, "prob": prob, "lr": lr})
    own = local.gradient(model, batch)

    def toss(key, hyper):
        return jax.random.uniform(keys.use(key, "coin"), dtype=jnp.float32) < hyper["prob"].astype(jnp.float32)

    def init(key, vars, census, hyper):
        return base.init(key, vars, census, hyper)._replace(extra=toss(key, hyper))

    def client(key, sent, mine, shard):
        lr, lam, prob = (sent.hyper[name] for name in ("lr", "lam", "prob"))
        loss, grads, stats = own(key, jnp.int32(0), mine, sent, shard)
        train = lambda x, g: x - (lr / (1 - prob)).astype(x.dtype) * g
        gather = lambda x, mean: x - (lr * lam / prob).astype(x.dtype) * (x - mean)
        trained = jax.tree.map(train, mine.params, grads)
        gathered = jax.tree.map(gather, mine.params, sent.vars.params)
        params = jax.tree.map(lambda a, b: jnp.where(sent.extra, a, b), gathered, trained)
        mine = Vars(params, stats)
        return Mean(mine, jnp.ones(())), mine, {"loss": loss}

    def server(key, server, aggregate):
        moved = server._replace(vars=aggregate.value, round=server.round + 1, extra=toss(key, server.hyper))
        return moved, {"coin": server.extra.astype(jnp.float32)}

    return base._replace(
        name="l2gd",
        init=init,
        init_client=lambda key, sent: sent.vars,
        passes=((client, server),),
        personal=local.finetune(
            local.proximal(own, "lam"), lambda sent: local.sgd(sent.hyper["lr"]), begin=lambda sent, mine: mine
        ),
    )
