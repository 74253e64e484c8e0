"""The local solvers that papers share, for one client."""

from pfljax.local.descend import Optimizer, descend, resolve, sgd
from pfljax.local.finetune import finetune, predict, shared_start, stay
from pfljax.local.gradient import Gradient, gradient, proximal
from pfljax.local.meta import Order, meta_gradient
from pfljax.local.paths import subset
from pfljax.local.work import Work

__all__ = [
    "Gradient",
    "Optimizer",
    "Order",
    "Work",
    "descend",
    "finetune",
    "gradient",
    "meta_gradient",
    "predict",
    "proximal",
    "resolve",
    "sgd",
    "shared_start",
    "stay",
    "subset",
]
