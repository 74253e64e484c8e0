"""Meta-SGD. Li, Zhou, Chen, Li, "Meta-SGD: Learning to Learn Quickly for Few-Shot Learning", 2017, Algorithm 1.

MAML that learns, beside the start, one inner step size for every parameter.
"""

import jax
import jax.numpy as jnp
import optax

from pfljax import local
from pfljax.algorithms.per_fedavg import per_fedavg
from pfljax.types import Algorithm, Model, Personal, Tree, Vars


def meta_sgd(
    model: Model,
    client_opt: local.Optimizer | None = None,
    server_opt: optax.GradientTransformation | None = None,
    *,
    inner_lr: float = 0.1,
    epochs: int | None = None,
    steps: int | None = None,
    batch: int | None = 32,
    weighting: local.Weighting = "uniform",
) -> Algorithm:
    """The inner step is w - rate * gradient, coordinate by coordinate; meta-steps move w and the rates (eq. 3, 5).

    inner_lr: what every rate starts from. One inner step, second order. The other arguments are `per_fedavg`'s.
    """
    base = per_fedavg(
        model, client_opt, server_opt, inner_lr=inner_lr,
        epochs=epochs, steps=steps, batch=batch, weighting=weighting,
    )  # fmt: skip
    client_opt, server_opt = local.optimizer(client_opt), optax.sgd(1.0) if server_opt is None else server_opt
    meta = local.rates_gradient(model, batch=batch)
    whole = lambda params, rates: {"model": params, "rates": rates}

    def init(key, vars, census, hyper):
        rates = jax.tree.map(lambda w: jnp.full_like(w, inner_lr), vars.params)
        server = base.init(key, vars, census, hyper)
        return server._replace(opt_state=server_opt.init(whole(vars.params, rates)), extra=rates)

    def client(key, sent, mine, shard):
        begin = Vars(whole(sent.vars.params, sent.extra), sent.vars.stats)
        end, info = local.descend(meta, client_opt, key, begin, sent, shard)
        return local.change(begin, end, shard, weighting), mine, info

    def server(key, server, aggregate):
        delta, stats = aggregate.value
        now = whole(server.vars.params, server.extra)
        updates, opt_state = server_opt.update(delta, server.opt_state, now)
        end: Tree = optax.apply_updates(now, updates)
        moved = server._replace(vars=Vars(end["model"], stats), opt_state=opt_state, extra=end["rates"])
        return moved._replace(round=server.round + 1), {}

    own = local.gradient(model, batch)

    def step(key, personal, sent, shard):
        _, grads, stats = own(key, personal.step, personal.vars, sent, shard)
        params = jax.tree.map(lambda w, r, g: w - r * g, personal.vars.params, sent.extra, grads)
        return Personal(Vars(params, stats), (), personal.step + 1)

    return base._replace(
        name="meta_sgd", hyper={}, init=init, passes=((client, server),), personal=(local.shared_start, step)
    )
