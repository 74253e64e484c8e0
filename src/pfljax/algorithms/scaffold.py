"""SCAFFOLD. Karimireddy et al., "SCAFFOLD: Stochastic Controlled Averaging for Federated Learning", ICML 2020.

Algorithm 1. Server: model x, control variate c; client: control variate c_i; all variates start at zero.
"""

from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import optax

from pfljax import keys, local
from pfljax.algorithms.fedavg import fedavg
from pfljax.errors import PflError
from pfljax.types import Algorithm, Model, Sum, Tree

Option = Literal["gradient", "difference"]


class Control(NamedTuple):
    """variate: c, like params; num_clients: N, those that may ever take part."""

    variate: Tree
    num_clients: jax.Array


def scaffold(
    model: Model,
    server_opt: optax.GradientTransformation | None = None,
    *,
    lr: float = 0.1,
    option: Option = "difference",
    batch: int | None = 32,
    weighting: local.Weighting = "uniform",
    **local_work,
) -> Algorithm:
    """Local steps along g - c_i + c, of plain SGD at a constant rate, which the new variates rely on.

    option: how c_i is renewed (line 12): "gradient" is I, the full gradient at the sent model, one more pass over the
            rows; "difference" is II, c_i - c + (x - y_i) / (K lr), for free
    lr:     the clients' rate, swept without compiling again. Other arguments: `fedavg`; lr_g is server_opt's rate.

    The mean of c_i over all seen clients is c after every round. Raises PflError for an unknown option.
    """
    if option not in get_args(Option):
        raise PflError(f"option: expected one of {', '.join(get_args(Option))}, got {option!r}")
    plain = lambda sent: local.sgd(sent.hyper["lr"])
    base = fedavg(model, plain, server_opt, batch=batch, weighting=weighting, hyper={"lr": lr}, **local_work)
    own, full = local.gradient(model, batch), local.gradient(model, None)
    ((_, step),) = base.passes

    def init(key, vars, census, hyper):
        zeros = jax.tree.map(jnp.zeros_like, vars.params)
        return base.init(key, vars, census, hyper)._replace(extra=Control(zeros, jnp.float32(census.seen.sum())))

    def client(key, sent, mine, shard):
        x, c = sent.vars, sent.extra.variate
        corrected = local.affine(own, shift=jax.tree.map(jnp.subtract, c, mine))
        y, info = local.descend(corrected, plain, key, x, sent, shard)
        if option == "gradient":
            _, new, _ = full(keys.use(key, "control"), jnp.int32(0), x, sent, shard)
        else:
            travelled = jnp.maximum(shard.num_steps, 1).astype(float) * sent.hyper["lr"]
            renew = lambda c_i, c, x, y: c_i - c + (x - y) / travelled.astype(x.dtype)
            new = jax.tree.map(renew, mine, c, x.params, y.params)
        # Who has taken no step has learned nothing.
        new = jax.tree.map(lambda new, old: jnp.where(shard.num_steps > 0, new, old), new, mine)
        upload = local.change(x, y, shard, weighting), Sum(jax.tree.map(jnp.subtract, new, mine), finite_if=new)
        return upload, new, info

    def server(key, server, aggregate):
        change, total = aggregate.value
        c, num_clients = server.extra
        c = jax.tree.map(lambda c, s: c + s / num_clients.astype(c.dtype), c, total)
        moved, info = step(key, server, aggregate._replace(value=change))
        return moved._replace(extra=Control(c, num_clients)), info

    renewal = (lambda counts: local.full_pass(counts, batch)) if option == "gradient" else (lambda counts: 0)
    return base._replace(
        name="scaffold",
        init=init,
        init_client=lambda key, sent: jax.tree.map(jnp.zeros_like, sent.vars.params),
        passes=((client, server),),
        cost=lambda counts: base.cost(counts) + renewal(counts),
    )
