"""Per-client figures, baselines and controls."""

from pfljax.evaluate.baselines import alone, constant, donors, shared
from pfljax.evaluate.curve import MARKS, Curve, curve
from pfljax.evaluate.evaluate import Entry, Evaluation, donor, evaluate

__all__ = [
    "MARKS",
    "Curve",
    "Entry",
    "Evaluation",
    "alone",
    "constant",
    "curve",
    "donor",
    "donors",
    "evaluate",
    "shared",
]
