"""How uploads become what the server sees."""

from pfljax.aggregate.streaming import contribution, finish

__all__ = ["contribution", "finish"]
