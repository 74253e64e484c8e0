"""Mime and MimeLite. Karimireddy et al., "Breaking the Centralized Barrier for Cross-Device Federated Learning",
NeurIPS 2021, Algorithm 1: clients take the server optimizer's steps with its statistics frozen.
"""

import jax
import jax.numpy as jnp
import optax

from pfljax import keys, local
from pfljax.algorithms.fedavg import fedavg
from pfljax.types import Algorithm, Mean, Model


def mimelite(
    model: Model,
    base_opt: optax.GradientTransformation | None = None,
    *,
    batch: int | None = 32,
    weighting: local.Weighting = "examples",
    **local_work,
) -> Algorithm:
    """One pass: clients train with frozen statistics and send the full gradient at the sent model for the next ones.

    base_opt: the optimizer whose statistics live on the server (default: sgd(0.1): FedAvg). Others: `fedavg`
    """
    base, opt, own, full, init = _parts(model, base_opt, batch, weighting, local_work)
    ((_, step),) = base.passes

    def client(key, sent, mine, shard):
        vars, info = local.descend(own, _frozen(opt, sent.extra), key, sent.vars, sent, shard)
        _, grads, _ = full(keys.use(key, "full"), jnp.int32(0), sent.vars, sent, shard)
        return (
            (local.change(sent.vars, vars, shard, weighting), Mean(grads, local.weight(shard, weighting))),
            mine,
            info,
        )

    def server(key, server, aggregate):
        change, grads = aggregate.value
        _, statistics = opt.update(grads, server.extra, server.vars.params)
        moved, info = step(key, server, aggregate._replace(value=change))
        return moved._replace(extra=statistics), info

    cost = lambda counts: base.cost(counts) + local.full_pass(counts, batch)
    return base._replace(name="mimelite", init=init, passes=((client, server),), cost=cost)


def mime(
    model: Model,
    base_opt: optax.GradientTransformation | None = None,
    *,
    batch: int | None = 32,
    weighting: local.Weighting = "examples",
    **local_work,
) -> Algorithm:
    """Two passes: the mean full gradient c first, then steps along g(w) - g(w_sent) + c on the same batch.

    Arguments as in `mimelite`.
    """
    base, opt, own, full, init_lite = _parts(model, base_opt, batch, weighting, local_work)
    ((_, step),) = base.passes

    def init(key, vars, census, hyper):
        server = init_lite(key, vars, census, hyper)
        return server._replace(extra=(server.extra, jax.tree.map(jnp.zeros_like, vars.params)))

    def look(key, sent, mine, shard):
        _, grads, _ = full(keys.use(key, "full"), jnp.int32(0), sent.vars, sent, shard)
        return Mean(grads, local.weight(shard, weighting)), mine, {}

    def gather(key, server, aggregate):
        return server._replace(extra=(server.extra[0], aggregate.value)), {}

    def client(key, sent, mine, shard):
        statistics, mean = sent.extra

        def reduced(key, index, vars, sent, shard):
            loss, grads, stats = own(key, index, vars, sent, shard)
            _, there, _ = own(key, index, sent.vars._replace(stats=vars.stats), sent, shard)
            return loss, jax.tree.map(lambda g, t, c: g - t + c, grads, there, mean), stats

        vars, info = local.descend(reduced, _frozen(opt, statistics), key, sent.vars, sent, shard)
        return local.change(sent.vars, vars, shard, weighting), mine, info

    def server(key, server, aggregate):
        statistics, mean = server.extra
        _, statistics = opt.update(mean, statistics, server.vars.params)
        moved, info = step(key, server, aggregate)
        return moved._replace(extra=(statistics, mean)), info

    cost = lambda counts: 2 * base.cost(counts) + local.full_pass(counts, batch)
    return base._replace(name="mime", init=init, passes=((look, gather), (client, server)), cost=cost)


def _parts(model, base_opt, batch, weighting, local_work):
    base = fedavg(model, batch=batch, weighting=weighting, **local_work)
    opt = optax.sgd(0.1) if base_opt is None else base_opt

    def init(key, vars, census, hyper):
        return base.init(key, vars, census, hyper)._replace(extra=opt.init(vars.params))

    return base, opt, local.gradient(model, batch), local.gradient(model, None), init


def _frozen(opt: optax.GradientTransformation, statistics) -> optax.GradientTransformation:
    """The optimizer's step from these statistics, which stay as they are."""
    return optax.stateless(lambda grads, params: opt.update(grads, statistics, params)[0])
