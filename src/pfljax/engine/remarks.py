"""What a run could do better, said once before it begins."""

import os
import warnings

import jax

from pfljax.engine.job import Job


def remark(job: Job) -> None:
    """Warns of idle cores."""
    cores, is_cpu = len(os.sched_getaffinity(0)), job.mesh.devices.flat[0].platform == "cpu"
    if is_cpu and len(jax.devices()) == 1 and cores > 1:
        warnings.warn(
            f"1 CPU device on {cores} cores: call pfljax.use_cores() before anything computes to use them all",
            stacklevel=4,
        )
