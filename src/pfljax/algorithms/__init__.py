"""One file per paper; each knows one client only."""

from pfljax.algorithms.ditto import ditto
from pfljax.algorithms.fedavg import fedavg
from pfljax.algorithms.fedavg_finetune import fedavg_finetune
from pfljax.algorithms.local_only import local_only
from pfljax.algorithms.per_fedavg import per_fedavg

__all__ = ["ditto", "fedavg", "fedavg_finetune", "local_only", "per_fedavg"]
