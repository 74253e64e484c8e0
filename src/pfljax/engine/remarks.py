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
    is_cpu = job.mesh.devices.flat[0].platform == "cpu"
    cores = len(os.sched_getaffinity(0))
    if is_cpu and has_idle(cores):
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


def has_idle(cores: int) -> bool:
    """Whether one device leaves cores idle that nobody else is known to use.

    Processes of one run may share a machine, and whoever has asked for a number of devices (use_cores,
    JAX_NUM_CPU_DEVICES) knows why.
    """
    is_asked = jax.config.values["jax_num_cpu_devices"] > 0
    return cores > 1 and jax.local_device_count() == 1 and jax.process_count() == 1 and not is_asked
