"""The performance gate: counters without noise of pinned workloads, against budgets. See docs/performance_gate.md.

It looks at programs from outside; nothing of the simulator knows of it.
"""

from pfljax.gate.budget import Change, NoBudget, changes, check
from pfljax.gate.command import main
from pfljax.gate.counters import Workload, counters, measure, workload
from pfljax.gate.operations import Operations, operations
from pfljax.gate.planned import bilinear, exact, round_operations
from pfljax.gate.timing import timed

__all__ = [
    "Change",
    "NoBudget",
    "Operations",
    "Workload",
    "bilinear",
    "changes",
    "check",
    "counters",
    "exact",
    "main",
    "measure",
    "operations",
    "round_operations",
    "timed",
    "workload",
]
