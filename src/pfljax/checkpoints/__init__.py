"""A run on disk: what it goes on from, whose it is, who is writing."""

from pfljax.checkpoints.load import load_checkpoint
from pfljax.checkpoints.settings import Checkpoints

__all__ = ["Checkpoints", "load_checkpoint"]
