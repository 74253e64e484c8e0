"""ANIL: the inner loop adapts the head only. Raghu, Raghu, Bengio, Vinyals, "Rapid Learning or Feature Reuse?
Towards Understanding the Effectiveness of MAML", ICLR 2020.
"""

from pfljax import local
from pfljax.algorithms.per_fedavg import per_fedavg
from pfljax.types import Algorithm, Model


def anil(model: Model, client_opt: local.Optimizer | None = None, *, adapt: str, **per_fedavg_arguments) -> Algorithm:
    """`per_fedavg` whose inner steps, and a client's own ones later, move the parameters that match `adapt` only.

    adapt: a path pattern such as "head/*". The others are learned by meta-steps. Raises PflError if none matches.
    """
    return per_fedavg(model, client_opt, adapt=adapt, **per_fedavg_arguments)._replace(name="anil")
