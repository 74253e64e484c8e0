"""The only place with jit, vmap, scans over clients and meshes: executes plans."""

from pfljax.engine.collect import Block
from pfljax.engine.devices import make_mesh, use_cores
from pfljax.engine.loop import rounds, sweep
from pfljax.engine.personal import debug
from pfljax.engine.program import Program
from pfljax.engine.ready import prepare
from pfljax.engine.result import Diverged, Result
from pfljax.engine.snapshot import Snapshot

__all__ = [
    "Block",
    "Diverged",
    "Program",
    "Result",
    "Snapshot",
    "debug",
    "make_mesh",
    "prepare",
    "rounds",
    "sweep",
    "use_cores",
]
