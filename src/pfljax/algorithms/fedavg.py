"""FedAvg. McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data", AISTATS 2017.

Server and client optimizers as in Reddi et al., "Adaptive Federated Optimization", ICLR 2021, Algorithm 1.
"""

from collections.abc import Mapping

import jax.numpy as jnp
import optax

from pfljax import local
from pfljax.local import Weighting
from pfljax.types import Algorithm, Model, Sent, Server, Vars


def fedavg(
    model: Model,
    client_opt: local.Optimizer | None = None,
    server_opt: optax.GradientTransformation | None = None,
    *,
    epochs: int | None = None,
    steps: int | None = None,
    batch: int | None = 32,
    weighting: Weighting = "examples",
    gradient: local.Gradient | None = None,
    hyper: Mapping[str, float] | None = None,
) -> Algorithm:
    """Clients descend their own loss; the server steps along the mean of their changes. Nobody is personalized.

    client_opt:  any optax optimizer, or a function Sent -> optimizer (for rates that follow the round, or a
                 hyper-parameter that is swept without compiling again); default sgd(0.1)
    server_opt:  any optax optimizer, fed w_server - mean(w_client) as its gradient; default sgd(1.0)
    epochs, steps, batch: local work, one of epochs and steps (one epoch if neither); batch=None is all rows
    weighting:   the mean counts clients by train rows ("examples") or alike ("uniform")
    gradient:    what clients descend, if not the model's loss on a batch (for methods built on this one)
    hyper:       named scalars that reach clients as sent.hyper

    Raises PflError for arguments outside these.
    """
    local.check_weighting(weighting)
    work = local.Work(1 if epochs is None and steps is None else epochs, steps, batch)
    client_opt = optax.sgd(0.1) if client_opt is None else client_opt
    server_opt = optax.sgd(1.0) if server_opt is None else server_opt
    gradient = local.gradient(model, batch) if gradient is None else gradient

    def init(key, vars, census, hyper):
        return Server(vars, server_opt.init(vars.params), jnp.int32(0), hyper)

    def send(server, row):
        return Sent(server.vars, server.round, server.hyper, server.extra)

    def client(key, sent, mine, shard):
        vars, info = local.descend(gradient, client_opt, key, sent.vars, sent, shard)  # ClientUpdate
        return local.change(sent.vars, vars, shard, weighting), mine, info

    def server(key, server, aggregate):
        delta, stats = aggregate.value
        updates, opt_state = server_opt.update(delta, server.opt_state, server.vars.params)
        vars = Vars(optax.apply_updates(server.vars.params, updates), stats)
        return server._replace(vars=vars, opt_state=opt_state, round=server.round + 1), {}

    return Algorithm(
        name="fedavg",
        model=model,
        hyper=hyper or {},
        init=init,
        send=send,
        init_client=lambda key, sent: (),
        passes=((client, server),),
        personal=(local.shared_start, local.stay),
        predict=local.predict(model),
        steps=work.num_steps,
        cost=work.num_steps,
    )
