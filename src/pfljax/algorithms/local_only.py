"""No federation: every client trains alone from the common start. The baseline that joining must beat."""

import optax

from pfljax import local
from pfljax.algorithms.fedavg import fedavg
from pfljax.types import Algorithm, Model


def local_only(
    model: Model,
    client_opt: local.Optimizer | None = None,
    *,
    epochs: int | None = None,
    steps: int | None = None,
    batch: int | None = 32,
) -> Algorithm:
    """Client state is the client's whole model; nothing is uploaded and the server never moves.

    A client that never took part starts from the common initial model; adaptation steps train either on.
    Arguments as in `fedavg`.
    """
    client_opt = optax.sgd(0.1) if client_opt is None else client_opt
    gradient = local.gradient(model, batch)

    def client(key, sent, mine, shard):
        mine, info = local.descend(gradient, client_opt, key, mine, sent, shard)
        return (), mine, info

    def server(key, server, aggregate):
        return server._replace(round=server.round + 1), {}

    return fedavg(model, client_opt, epochs=epochs, steps=steps, batch=batch)._replace(
        name="local_only",
        init_client=lambda key, sent: sent.vars,
        passes=((client, server),),
        personal=local.finetune(gradient, client_opt, begin=lambda sent, mine: mine),
    )
