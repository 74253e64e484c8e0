"""How uploads become what the server sees."""

from pfljax.aggregate.reduction import Kind, Reduction, reduction
from pfljax.aggregate.streaming import contribution, finish, individuals, looked_at

__all__ = ["Kind", "Reduction", "contribution", "finish", "individuals", "looked_at", "reduction"]
