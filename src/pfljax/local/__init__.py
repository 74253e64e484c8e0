"""The local solvers that papers share, for one client."""

from pfljax.local.change import Weighting, change, check_weighting, weight
from pfljax.local.descend import Optimizer, descend, optimizer, resolve, sgd
from pfljax.local.finetune import features_of, finetune, predict, shared_start, stay
from pfljax.local.gradient import Gradient, affine, all_rows_loss, gradient, proximal, weighted_mean
from pfljax.local.implicit import implicit_gradient, rates_gradient
from pfljax.local.meta import Order, meta_gradient
from pfljax.local.paths import join, other, split, subset
from pfljax.local.stateless import stateless
from pfljax.local.work import Work, full_loss, full_pass

__all__ = [
    "Gradient",
    "Optimizer",
    "Order",
    "Weighting",
    "Work",
    "affine",
    "all_rows_loss",
    "change",
    "check_weighting",
    "descend",
    "features_of",
    "finetune",
    "full_loss",
    "full_pass",
    "gradient",
    "implicit_gradient",
    "join",
    "meta_gradient",
    "optimizer",
    "other",
    "predict",
    "proximal",
    "rates_gradient",
    "resolve",
    "sgd",
    "shared_start",
    "split",
    "stateless",
    "stay",
    "subset",
    "weight",
    "weighted_mean",
]
