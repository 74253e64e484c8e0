"""The frame of all methods that share a part of the model: clients keep the rest, or never have it sent."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from pfljax import local
from pfljax.algorithms.fedavg import fedavg
from pfljax.types import Algorithm, Info, Key, Model, Sent, Vars

Train = Callable[..., tuple[Vars, Info]]  # (Key, Vars, Sent, Shard) -> (Vars, Info), on the whole model


def share(
    model: Model,
    shared: str,
    train: Train,
    server_opt: optax.GradientTransformation | None,
    *,
    personal_gradient: local.Gradient,
    personal_opt: local.Optimizer,
    weighting: local.Weighting = "examples",
    **local_work,
) -> Algorithm:
    """FedAvg on the parameters and statistics that match `shared`; a client keeps the others, trained by `train`.

    The server holds the others as they were at the start: what a client without kept ones begins with. Adaptation
    moves a client's own parameters only.
    """
    base = fedavg(model, None, server_optimizer(server_opt, shared), weighting=weighting, **local_work)
    own_opt = lambda sent: local.subset(local.resolve(personal_opt, sent), local.other(shared))

    def init_client(key: Key, sent: Sent):
        return local.split(sent.vars, shared)[1]

    def client(key, sent, mine, shard):
        vars, info = train(key, local.join(mine, sent.vars), sent, shard)
        common, mine = local.split(vars, shared)
        return local.change(local.split(sent.vars, shared)[0], common, shard, weighting), mine, info

    return base._replace(
        init_client=init_client,
        passes=((client, server_step(base)),),
        personal=local.finetune(personal_gradient, own_opt, begin=lambda sent, mine: local.join(mine, sent.vars)),
    )


def server_optimizer(given: optax.GradientTransformation | None, shared: str) -> optax.GradientTransformation:
    """The given one, or sgd(1.0), on the shared part; PflError for a pattern that `local.split` refuses."""
    part = local.subset(optax.sgd(1.0) if given is None else given, shared)

    def init(params):
        local.split(Vars(params), shared)
        return part.init(params)

    return optax.GradientTransformation(init, part.update)


def server_step(base: Algorithm) -> Callable:
    """The server's step of `base`, given changes of a part of the model only: the rest stays."""
    ((_, step),) = base.passes

    def server(key, server, aggregate):
        delta, stats = aggregate.value
        still = jax.tree.map(jnp.zeros_like, server.vars.params)
        whole = Vars(local.join(delta, still), local.join(stats, server.vars.stats))
        return step(key, server, aggregate._replace(value=whole))

    return server
