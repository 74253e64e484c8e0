"""Devices and meshes: the only place that asks what hardware there is."""

import os

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from pfljax.errors import PflError

AXIS = "clients"
TIMEOUT_FLAG = "--xla_cpu_collective_call_terminate_timeout_seconds"


def use_cores(num_cores: int | None = None) -> int:
    """Makes JAX see one CPU device per core, which is 2 to 5 times faster here than one device for all.

    Call it before anything computes. Also lets devices wait an hour for each other, where XLA would end the
    process after 40 s. Returns the number of devices. Has no effect on GPUs and TPUs.

    Raises PflError if JAX has already started, or for a number below 1.
    """
    num_cores = len(os.sched_getaffinity(0)) if num_cores is None else num_cores
    if num_cores < 1:
        raise PflError(f"num_cores: expected at least 1, got {num_cores}")
    before = os.environ.get("XLA_FLAGS", "")
    if TIMEOUT_FLAG not in before:
        os.environ["XLA_FLAGS"] = f"{before} {TIMEOUT_FLAG}=3600".strip()
    try:
        jax.config.update("jax_num_cpu_devices", num_cores)
    except RuntimeError as error:
        os.environ["XLA_FLAGS"] = before
        raise PflError(
            "use_cores: expected to be called before JAX computes anything, but its devices are already up; "
            "move the call to the top of the program"
        ) from error
    return num_cores


def make_mesh(num_devices: int | None = None) -> Mesh:
    """A mesh with one axis, `clients`, over the first `num_devices` devices (None: all of them).

    Raises PflError if there are fewer.
    """
    devices = jax.devices()
    num_devices = len(devices) if num_devices is None else num_devices
    if not 1 <= num_devices <= len(devices):
        raise PflError(
            f"devices: expected between 1 and {len(devices)}, got {num_devices}; on CPUs call pfljax.use_cores(n) first"
        )
    return Mesh(np.asarray(devices[:num_devices]), (AXIS,))


def replicated(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, P())


def by_client(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """Axis `axis` is dealt out over the devices."""
    return NamedSharding(mesh, P(*[None] * axis, AXIS))
