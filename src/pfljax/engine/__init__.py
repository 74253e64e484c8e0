"""The only place with jit, vmap, scans over clients and meshes: executes plans."""

from pfljax.engine.devices import make_mesh, use_cores
from pfljax.engine.loop import Block, rounds
from pfljax.engine.personal import debug
from pfljax.engine.result import Diverged, Result

__all__ = ["Block", "Diverged", "Result", "debug", "make_mesh", "rounds", "use_cores"]
