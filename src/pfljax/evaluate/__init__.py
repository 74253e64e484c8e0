"""Per-client figures, baselines and controls."""

from pfljax.evaluate.baselines import constant, donors, shared, untrained
from pfljax.evaluate.curve import MARKS, Curve, curve
from pfljax.evaluate.evaluate import Entry, Evaluation, evaluate

__all__ = ["MARKS", "Curve", "Entry", "Evaluation", "constant", "curve", "donors", "evaluate", "shared", "untrained"]
