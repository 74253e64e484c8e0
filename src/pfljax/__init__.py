"""pfljax: personalized federated learning, simulated at the speed of its gradients.

Importing computes nothing, touches no device and changes no setting.
"""

from pfljax import algorithms, data, models, upload
from pfljax.checkpoints import Checkpoints, load_checkpoint
from pfljax.cluster import use_processes
from pfljax.engine import Block, Diverged, Result, debug, rounds, use_cores
from pfljax.errors import PflError
from pfljax.evaluate import Evaluation, evaluate
from pfljax.keys import Seeds
from pfljax.run.load import load_run
from pfljax.simulate import simulate

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
