"""pfljax: personalized federated learning, simulated at the speed of its gradients.

Importing computes nothing, touches no device and changes no setting.
"""

from typing import TYPE_CHECKING

from pfljax import algorithms, data, models, upload
from pfljax.checkpoints import Checkpoints, load_checkpoint
from pfljax.cluster import use_processes
from pfljax.engine import Block, Diverged, Result, debug, rounds, use_cores
from pfljax.errors import PflError
from pfljax.evaluate import Evaluation, evaluate
from pfljax.keys import Seeds
from pfljax.simulate import simulate

if TYPE_CHECKING:
    from pfljax.run.load import load_run

__version__ = "0.1.0"
__all__ = [
    "Block",
    "Checkpoints",
    "Diverged",
    "Evaluation",
    "PflError",
    "Result",
    "Seeds",
    "algorithms",
    "data",
    "debug",
    "evaluate",
    "load_checkpoint",
    "load_run",
    "models",
    "rounds",
    "simulate",
    "upload",
    "use_cores",
    "use_processes",
]


def __getattr__(name: str):
    """`load_run` when it is asked for: the command's room is not imported by those who do not use it."""
    if name != "load_run":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pfljax.run.load import load_run

    return load_run
