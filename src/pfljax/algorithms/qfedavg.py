"""q-FedAvg. Li, Sanjabi, Beirami, Smith, "Fair Resource Allocation in Federated Learning", ICLR 2020, Algorithm 2.

Minimises the mean of F_k^(q+1) / (q + 1): clients with larger losses F_k at the sent model count for more.
"""

import jax
import jax.numpy as jnp
import optax

from pfljax import local
from pfljax.algorithms.fedavg import fedavg
from pfljax.errors import at_least
from pfljax.types import Algorithm, Mean, Model, Sum, Vars

TINY = 1e-10  # added to a loss before its power is taken


def qfedavg(model: Model, *, q: float = 1.0, lr: float = 0.1, batch: int | None = 32, **local_work) -> Algorithm:
    """q = 0 is FedAvg with uniform weights; a larger q is fairer. One more pass over the rows, for F_k.

    lr: the clients' rate, 1 / L of the paper. epochs, steps, batch: as in `fedavg`. Raises PflError for a negative q.
    """
    at_least("q", q, 0)
    plain = lambda sent: local.sgd(sent.hyper["lr"])
    base = fedavg(model, plain, batch=batch, weighting="uniform", hyper={"q": q, "lr": lr}, **local_work)
    ((train, step),) = base.passes
    all_rows = local.all_rows_loss(model)

    def client(key, sent, mine, shard):
        change, _, info = train(key, sent, mine, shard)
        q, lr = sent.hyper["q"], sent.hyper["lr"]
        loss = (all_rows(sent.vars, shard.train) + TINY).astype(q.dtype)
        scale = loss**q
        gap = jax.tree.map(lambda d: d / lr.astype(d.dtype), change.value.params)  # L (w - w_k)
        h = q * loss ** (q - 1) * optax.tree.norm(gap, squared=True).astype(q.dtype) + scale / lr
        weighted = jax.tree.map(lambda g: scale.astype(g.dtype) * g, gap)
        return (Sum(weighted), Sum(h), Mean(change.value.stats, change.weight)), mine, info | {"full_loss": loss}

    def server(key, server, aggregate):
        total, h, stats = aggregate.value
        h = jnp.where(h > 0, h, 1)  # a large power of small losses is zero: nobody pulls
        delta = jax.tree.map(lambda t: t / h.astype(t.dtype), total)
        return step(key, server, aggregate._replace(value=Vars(delta, stats)))

    cost = lambda counts: base.cost(counts) + local.full_loss(counts, batch)
    return base._replace(name="qfedavg", passes=((client, server),), cost=cost)
