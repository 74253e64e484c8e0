"""FedAlt: personal parameters first, then the shared ones. Pillutla et al., "Federated Learning with Partial Model
Personalization", ICML 2022, Algorithm 3.
"""

import optax

from pfljax import keys, local
from pfljax.algorithms._shared import share
from pfljax.errors import whole
from pfljax.types import Algorithm, Model


def fedalt(
    model: Model,
    client_opt: local.Optimizer | None = None,
    server_opt: optax.GradientTransformation | None = None,
    *,
    shared: str,
    personal_opt: local.Optimizer | None = None,
    personal_passes: int = 1,
    batch: int | None = 32,
    **fedavg_arguments,
) -> Algorithm:
    """A client first takes `personal_passes` times its steps on its own parameters, then its steps on the shared ones.

    personal_opt: of its own parameters (default: client_opt). shared, and all others: `fedsim`.
    """
    whole("personal_passes", personal_passes)
    gradient, client_opt = local.gradient(model, batch), local.optimizer(client_opt)
    personal_opt = client_opt if personal_opt is None else personal_opt
    part = lambda opt, pattern: lambda sent: local.subset(local.resolve(opt, sent), pattern)
    own_opt, common_opt = part(personal_opt, local.other(shared)), part(client_opt, shared)

    def train(key, vars, sent, shard):
        key_own, num_own = keys.use(key, "personal"), personal_passes * shard.num_steps
        vars, _ = local.descend(gradient, own_opt, key_own, vars, sent, shard, num_own)
        return local.descend(gradient, common_opt, key, vars, sent, shard)

    made = share(
        model, shared, train, server_opt, personal_gradient=gradient, personal_opt=personal_opt, batch=batch,
        **fedavg_arguments,
    )  # fmt: skip
    return made._replace(name="fedalt", cost=lambda counts: (1 + personal_passes) * made.cost(counts))
