"""FedDyn. Acar et al., "Federated Learning Based on Dynamic Regularization", ICLR 2021, Algorithm 1.

Client: g_i, the gradient of its loss where it stopped last; server: h, their mean. Both start at zero.
"""

import jax
import jax.numpy as jnp

from pfljax import local
from pfljax.algorithms.fedavg import fedavg
from pfljax.errors import PflError
from pfljax.types import Algorithm, Model


def feddyn(
    model: Model, client_opt: local.Optimizer | None = None, *, alpha: float = 0.1, batch: int | None = 32, **local_work
) -> Algorithm:
    """Clients descend f(w) - <g_i, w> + alpha / 2 * |w - w_sent|^2 (eq. 1); whatever they reach renews g_i and h.

    alpha: the authors choose 0.001 to 0.1. epochs, steps, batch: as in `fedavg`. Raises PflError unless alpha > 0.
    """
    if not alpha > 0:
        raise PflError(f"alpha: expected a positive number, got {alpha}")
    base = fedavg(model, client_opt, batch=batch, weighting="uniform", hyper={"alpha": alpha}, **local_work)
    own, client_opt = local.gradient(model, batch), local.optimizer(client_opt)
    ((_, step),) = base.passes

    def init(key, vars, census, hyper):
        zeros = jax.tree.map(jnp.zeros_like, vars.params)
        return base.init(key, vars, census, hyper)._replace(extra=(zeros, jnp.float32(census.seen.sum())))

    def client(key, sent, mine, shard):
        alpha, anchor = sent.hyper["alpha"], sent.vars.params
        dynamic = local.affine(own, pull=alpha, anchor=anchor, shift=jax.tree.map(jnp.negative, mine))
        vars, info = local.descend(dynamic, client_opt, key, sent.vars, sent, shard)
        mine = jax.tree.map(lambda g, w, a: g - alpha.astype(w.dtype) * (w - a), mine, vars.params, anchor)
        return local.change(sent.vars, vars, shard, "uniform"), mine, info

    def server(key, server, aggregate):
        (delta, stats), (h, num_clients) = aggregate.value, server.extra
        alpha, num_reported = server.hyper["alpha"], aggregate.num_reported
        share = lambda d: num_reported.astype(d.dtype) / num_clients.astype(d.dtype)
        h = jax.tree.map(lambda h, d: h + alpha.astype(d.dtype) * share(d) * d, h, delta)
        delta = jax.tree.map(lambda d, h: d + h / alpha.astype(h.dtype), delta, h)  # w <- mean w_i - h / alpha
        value = aggregate.value._replace(params=delta, stats=stats)
        moved, info = step(key, server, aggregate._replace(value=value))
        return moved._replace(extra=(h, num_clients)), info

    return base._replace(
        name="feddyn",
        init=init,
        init_client=lambda key, sent: jax.tree.map(jnp.zeros_like, sent.vars.params),
        passes=((client, server),),
    )
