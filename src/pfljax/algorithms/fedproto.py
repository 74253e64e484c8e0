"""FedProto. Tan et al., "FedProto: Federated Prototype Learning across Heterogeneous Clients", AAAI 2022, Algorithm 1.

Clients keep their models; what is shared is the mean feature of every class, which local training is drawn to (eq. 7).
"""

import jax
import jax.numpy as jnp

from pfljax import keys, local
from pfljax.algorithms.fedavg import fedavg
from pfljax.errors import at_least
from pfljax.types import Algorithm, Model, Sum, Weighted


def fedproto(
    model: Model,
    client_opt: local.Optimizer | None = None,
    *,
    lam: float = 1.0,
    batch: int | None = 32,
    **local_work,
) -> Algorithm:
    """Client state is the whole model; it descends its loss + lam * |feature - prototype of the example's class|^2.

    The distance is a mean over features; a class without a prototype yet adds nothing. Needs a model with features.
    A client that was never seen starts from the common initial model. Raises PflError for a negative lam, or a model
    without features.
    """
    at_least("lam", lam, 0)
    features = local.features_of(model, "fedproto")
    client_opt = local.optimizer(client_opt)
    base = fedavg(model, client_opt, batch=batch, hyper={"lam": lam}, **local_work)

    def init(key, vars, census, hyper):
        prototypes = jnp.zeros((features.num_classes, features.size))
        return base.init(key, vars, census, hyper)._replace(extra=(prototypes, jnp.zeros(features.num_classes)))

    def gradient(key, step, vars, sent, shard):
        prototypes, known = sent.extra

        def apply(vars, rows, key, train):
            found, outputs, stats = features.apply(vars, rows, key, train)
            return (outputs, found), stats

        def loss(both, rows):
            (outputs, found), classes = both, rows["y"].astype(jnp.int32)
            value, weight = model.loss(outputs, rows)
            gap = found.astype(value.dtype) - prototypes[classes].astype(value.dtype)
            pull = sent.hyper["lam"].astype(value.dtype) * known[classes].astype(value.dtype)
            return Weighted(value + pull * jnp.mean(gap**2, axis=-1), weight)

        drawn = model._replace(apply=apply, loss=loss)
        return local.gradient(drawn, batch)(key, step, vars, sent, shard)

    def client(key, sent, mine, shard):
        mine, info = local.descend(gradient, client_opt, key, mine, sent, shard)

        def sums(_, rows):
            member = jnp.where(rows["mask"][:, None], jax.nn.one_hot(rows["y"], features.num_classes), 0)
            found, *_ = features.apply(mine, rows, keys.root(0), False)
            return member.T @ jnp.where(rows["mask"][:, None], found.astype(member.dtype), 0), member.sum(axis=0)

        return tuple(Sum(total) for total in shard.train.reduce(sums)), mine, info

    def server(key, server, aggregate):
        (total, count), (old, known) = aggregate.value, server.extra
        is_new = count > 0
        mean = total / jnp.where(is_new, count, 1)[:, None]
        prototypes = jnp.where(is_new[:, None], mean, old)
        extra = (prototypes, jnp.maximum(known, is_new.astype(known.dtype)))
        return server._replace(round=server.round + 1, extra=extra), {}

    return base._replace(
        name="fedproto",
        init=init,
        init_client=lambda key, sent: sent.vars,
        passes=((client, server),),
        personal=local.finetune(gradient, client_opt, begin=lambda sent, mine: mine),
        cost=lambda counts: base.cost(counts) + local.full_loss(counts, batch),
    )
