"""Devices and meshes: the only place that asks what hardware there is, and that moves arrays there and back."""

import os
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from pfljax.errors import PflError
from pfljax.types import Tree

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
    """A mesh with one axis, `clients`, over the first `num_devices` devices (None: all of them, of all processes).

    Raises PflError if there are fewer, or if a process would be left without one.
    """
    # Those of a process side by side, for it keeps on its host what belongs to them.
    devices = sorted(jax.devices(), key=lambda device: device.process_index)
    num_devices = len(devices) if num_devices is None else num_devices
    if not 1 <= num_devices <= len(devices):
        raise PflError(
            f"devices: expected between 1 and {len(devices)}, got {num_devices}; on CPUs call pfljax.use_cores(n) first"
        )
    used = {device.process_index for device in devices[:num_devices]}
    if len(used) < jax.process_count():
        raise PflError(
            f"devices: expected some of each of the {jax.process_count()} processes, got {num_devices} of "
            f"{len(devices)}, which {len(used)} have; use all, or start fewer processes"
        )
    return Mesh(np.asarray(devices[:num_devices]), (AXIS,))


def replicated(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, P())


def by_client(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """Axis `axis` is dealt out over the devices."""
    return NamedSharding(mesh, P(*[None] * axis, AXIS))


def put(tree: Tree, sharding: NamedSharding) -> Tree:
    """Host arrays on the devices. In several processes each brings its own devices' part of what all of them have."""
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)

    def one(leaf):
        if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
            return jax.device_put(leaf, sharding)
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            data = one(jax.random.key_data(leaf))
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
        host = np.asarray(leaf)
        return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])

    return jax.tree.map(one, tree)


def own_devices(mesh: Mesh) -> list[int]:
    """The positions on the mesh of this process's devices."""
    return [index for index, device in enumerate(mesh.devices.flat) if device.process_index == jax.process_index()]


def put_own(tree: Tree, mesh: Mesh) -> Tree:
    """Arrays [own device * row, ...] as parts of [device * row, ...], each on its device. Others bring the rest."""
    sharding, own = by_client(mesh), own_devices(mesh)
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)

    def one(leaf):
        num_rows = len(leaf) // len(own)
        begin = lambda index: own.index((index[0].start or 0) // num_rows) * num_rows
        part = lambda index: leaf[begin(index) : begin(index) + num_rows]
        return jax.make_array_from_callback((mesh.size * num_rows, *leaf.shape[1:]), sharding, part)

    return jax.tree.map(one, tree)


def own_rows(leaf: jax.Array, mesh: Mesh) -> np.ndarray:
    """[own device * row, ...]: this process's part of an array [device * row, ...]."""
    if leaf.is_fully_addressable:
        return np.asarray(leaf)
    parts = {shard.device: shard.data for shard in leaf.addressable_shards}
    return np.concatenate([np.asarray(parts[mesh.devices.flat[index]]) for index in own_devices(mesh)])


def on_host(tree: Tree) -> Tree:
    """Arrays of the devices as numpy arrays, whole, in every process; random keys as keys of this process's own."""

    def one(leaf):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(one(jax.random.key_data(leaf)), impl=jax.random.key_impl(leaf))
        if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable or leaf.is_fully_replicated:
            return np.asarray(leaf)
        assert isinstance(leaf.sharding, NamedSharding)
        return np.asarray(_everywhere(leaf, NamedSharding(leaf.sharding.mesh, P())))

    return jax.tree.map(one, tree)


@partial(jax.jit, static_argnames=("sharding",))
def _everywhere(leaf: jax.Array, sharding: NamedSharding) -> jax.Array:
    return jax.lax.with_sharding_constraint(leaf, sharding)
