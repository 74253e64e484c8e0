"""What a run could do better, said once before it begins."""

import os
import warnings

import jax
import numpy as np

from pfljax.engine.job import Job
from pfljax.engine.place import narrowed
from pfljax.models.convolutions import per_client_convolutions


def remark(job: Job) -> None:
    """Warns of idle cores, and of convolutions that are slow under per-client kernels."""
    cores, is_cpu = len(os.sched_getaffinity(0)), job.mesh.devices.flat[0].platform == "cpu"
    if is_cpu and len(jax.devices()) == 1 and cores > 1:
        warnings.warn(
            f"1 CPU device on {cores} cores: call pfljax.use_cores() before anything computes to use them all",
            stacklevel=4,
        )
    shapes = {
        name: jax.ShapeDtypeStruct((2, *array.shape[1:]), narrowed(array.dtype))
        for name, array in job.population.arrays.items()
    }
    batch = shapes | {"mask": jax.ShapeDtypeStruct((2,), np.bool_)}
    slow = per_client_convolutions(job.algorithm.model, batch)
    if slow and is_cpu:
        warnings.warn(
            f"{', '.join(slow)}: lax.conv on kernels that differ from client to client runs 30 to 50 times slower than "
            "a matmul here; give the layer conv_general_dilated=pfljax.models.layers.conv_general_dilated",
            stacklevel=4,
        )
