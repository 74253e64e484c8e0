"""Populations made from a seed. Those with a known truth give `Generated`: the population, and the truth as arrays.

The shapes of well-known data sets (`*_alike`), whose content means nothing, give a `Population`.
"""

from pfljax.data.generators.alikes import (
    cifar10_alike,
    cifar100_alike,
    emnist_alike,
    shakespeare_alike,
    stackoverflow_alike,
)
from pfljax.data.generators.generated import Generated
from pfljax.data.generators.quadratics import quadratics
from pfljax.data.generators.regressions import linear_representations, mixed_regressions, sinusoids
from pfljax.data.generators.synthetic import synthetic, synthetic_pfedme

__all__ = [
    "Generated",
    "cifar10_alike",
    "cifar100_alike",
    "emnist_alike",
    "linear_representations",
    "mixed_regressions",
    "quadratics",
    "shakespeare_alike",
    "sinusoids",
    "stackoverflow_alike",
    "synthetic",
    "synthetic_pfedme",
]
