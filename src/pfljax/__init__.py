"""pfljax: personalized federated learning, simulated at the speed of its gradients.

Importing computes nothing, touches no device and changes no setting.
"""

from pfljax import algorithms, data, models, upload
from pfljax.checkpoints import Checkpoints
from pfljax.cluster import use_processes
from pfljax.engine import Block, Diverged, Result, debug, rounds, use_cores
from pfljax.errors import PflError
from pfljax.evaluate import Evaluation, evaluate
from pfljax.keys import Seeds
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
    "models",
    "rounds",
    "simulate",
    "upload",
    "use_cores",
    "use_processes",
]
