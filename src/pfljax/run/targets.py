"""Machines that need not be here: what their data sheets say, and meshes of their devices to compile for.

`v5e:16x16` is one slice of a TPU generation, `v5e:4x4:2` two of them, `h100:8` one host of eight GPUs.
"""

import importlib.util
import math
import os
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh

from pfljax.engine.devices import AXIS
from pfljax.errors import PflError, nearest

GIB, GB, TERA = 2**30, 10**9, 10**12
GPUS_A_HOST = 8

FLAT = tuple((x, y) for x, y in ((1, 1), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16)))
SOLID = (
    (2, 2, 1), (2, 2, 2), (2, 2, 4), (2, 4, 4), (4, 4, 4), (4, 4, 8), (4, 8, 8), (8, 8, 8), (8, 8, 16), (8, 16, 16),
)  # fmt: skip


@dataclass(frozen=True)
class Chip:
    """One accelerator as JAX sees it: one device. Peaks are operations a second, bandwidths bytes a second, one way.

    memory:  bytes that programs may use. TPUs: what libtpu says when it refuses one that is too large; GPUs: the
             three quarters that JAX takes unless it is told otherwise
    bf16:    peak of matrix products of bfloat16 numbers
    float32: peak of those of float32 at JAX's default precision: rounded to bfloat16 on TPUs, to TF32 on GPUs
    link:    of one link to a neighbour in a torus; of all links of a GPU
    network: of a device's share of its host's network, between slices or hosts
    devices: that JAX sees on one chip
    shapes:  topologies that there are; () for GPUs, which are counted
    """

    name: str
    platform: Literal["tpu", "cuda"]
    memory: int
    bf16: float
    float32: float
    bandwidth: float
    link: float
    network: float
    devices: int = 1
    shapes: tuple[tuple[int, ...], ...] = ()
    wraps: int = 4  # an axis of a multiple of as many chips is a ring
    about: str = ""

    def peak(self, is_half: bool) -> float:
        return self.bf16 if is_half else self.float32


# TPUs: the pages "TPU v4", "TPU v5e", "TPU v5p", "TPU v6e" and "TPU7x (Ironwood)" of the Cloud TPU documentation
# (docs.cloud.google.com/tpu/docs), values of a chip; interconnect there is the sum of all ports, both ways. v4's page
# has no network: v5p's is taken. GPUs: NVIDIA's data sheets of the SXM modules, a GB as 10^9 bytes, dense products (no
# sparsity), NVLink halved for one way, and the network cards of the DGX of that generation.
CHIPS = (
    Chip("v4", "tpu", int(30.75 * GIB), 275 * TERA, 275 * TERA, 1200 * GB, 50 * GB, 6.25 * GB, 1, SOLID),
    Chip("v5e", "tpu", int(15.75 * GIB), 197 * TERA, 197 * TERA, 819 * GB, 50 * GB, 3.125 * GB, 1, FLAT, 16),
    Chip(
        "v5p", "tpu", int(95.74 * GIB), 459 * TERA, 459 * TERA, 2765 * GB, 100 * GB, 6.25 * GB, 1,
        (*SOLID, (16, 16, 16), (16, 16, 24)),
    ),
    Chip("v6e", "tpu", int(31.25 * GIB), 918 * TERA, 918 * TERA, 1638 * GB, 100 * GB, 12.5 * GB, 1, FLAT, 16),
    # A chip is two devices, each with half of everything.
    Chip("tpu7x", "tpu", int(94.75 * GIB), 1153.5 * TERA, 1153.5 * TERA, 3690 * GB, 50 * GB, 6.25 * GB, 2, SOLID),
    Chip("a100", "cuda", 60 * GB, 312 * TERA, 156 * TERA, 2039 * GB, 300 * GB, 25 * GB, about="A100 80GB SXM"),
    Chip("h100", "cuda", 60 * GB, 989 * TERA, 494 * TERA, 3350 * GB, 450 * GB, 50 * GB, about="H100 80GB SXM"),
    Chip("h200", "cuda", 106 * GB, 989 * TERA, 494 * TERA, 4800 * GB, 450 * GB, 50 * GB, about="H200 141GB SXM"),
)  # fmt: skip
NAMES = tuple(chip.name for chip in CHIPS)


@dataclass(frozen=True)
class Target:
    """A machine. topology: chips along each axis of one slice, or (GPUs of one host,); slices: or hosts."""

    name: str
    chip: Chip
    topology: tuple[int, ...]
    slices: int

    @property
    def num_chips(self) -> int:
        return math.prod(self.topology) * self.slices

    @property
    def num_devices(self) -> int:
        return self.num_chips * self.chip.devices

    @property
    def rings(self) -> tuple[tuple[int, bool], ...]:
        """(devices along it, whether its ends meet) of each axis that joins devices of one slice or host."""
        if self.chip.platform == "cuda":
            return tuple((size, False) for size in self.topology if size > 1)  # all links lead to one switch
        is_torus = len(self.topology) == 2 or all(size % self.chip.wraps == 0 for size in self.topology)
        return tuple((size, is_torus and size % self.chip.wraps == 0) for size in self.topology if size > 1)

    def __str__(self) -> str:
        parts = "slice" if self.chip.platform == "tpu" else "host"
        several = f" in {self.slices} {parts}s" if self.slices > 1 else ""
        devices = f", {self.num_devices} devices" if self.chip.devices > 1 else ""
        return f"{self.name} ({self.num_chips} {'chip' if self.num_chips == 1 else 'chips'}{several}{devices})"


def target(name: str) -> Target:
    """`v5e:16x16`, `v5e:4x4:2` (two slices), `h100:8`, `h100:16` (two hosts).

    Raises PflError for one that does not exist, with a list of those that do.

    >>> target("v5e:4x4:2").num_devices, target("h100:16").slices
    (32, 2)
    """
    first, _, rest = name.partition(":")
    known = {chip.name: chip for chip in CHIPS}
    if first not in known:
        hint = nearest(first, NAMES)
        raise PflError(
            f"--target: expected one of {', '.join(NAMES)} and its size, e.g. v5e:16x16 or h100:8, got {name!r}{hint}"
        )
    chip = known[first]
    return _gpus(name, chip, rest) if chip.platform == "cuda" else _slices(name, chip, rest)


def _gpus(name: str, chip: Chip, size: str) -> Target:
    num = int(size) if size.isascii() and size.isdigit() else 0
    if num < 1 or (num > GPUS_A_HOST and num % GPUS_A_HOST):
        raise PflError(
            f"--target: expected 1 to {GPUS_A_HOST} GPUs or a multiple of {GPUS_A_HOST}, e.g. {chip.name}:8, "
            f"got {name!r}"
        )
    return Target(name, chip, (min(num, GPUS_A_HOST),), -(-num // GPUS_A_HOST))


def _slices(name: str, chip: Chip, size: str) -> Target:
    shape, _, slices = size.partition(":")
    shapes = {"x".join(map(str, each)): each for each in chip.shapes}
    if shape not in shapes:
        raise PflError(
            f"--target: expected a topology that {chip.name} has ({', '.join(shapes)}), got {name!r}"
            f"{nearest(shape, shapes)}"
        )
    num = 1 if not slices else int(slices) if slices.isascii() and slices.isdigit() else 0
    if num < 1 or (":" in size and not slices):
        raise PflError(
            f"--target: expected a number of slices behind the topology, e.g. {chip.name}:{shape}:2, got {name!r}"
        )
    return Target(name, chip, shapes[shape], num)


def mesh(of: Target) -> Mesh:
    """All devices of a target as a mesh with the axis `clients`. They are described, and can be compiled for only.

    Raises PflError, naming what to install, where the compiler for them is missing.
    """
    described = _tpus(of) if of.chip.platform == "tpu" else _cuda(of)
    return Mesh(np.asarray(described.devices), (AXIS,))


def _tpus(of: Target) -> Any:
    if importlib.util.find_spec("libtpu") is None:
        raise _missing(of, "libtpu", "tpu-aot")
    # Read when libtpu is loaded: no question to a metadata server that is not there, and several processes at once.
    quiet = {"TPU_SKIP_MDS_QUERY": "1", "TPU_ACCELERATOR_TYPE": "v5litepod-8", "TPU_WORKER_HOSTNAMES": "localhost"}
    for variable, value in (quiet | {"ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}).items():
        os.environ.setdefault(variable, value)
    options: dict[str, Any] = {}
    if of.chip.name in ("v4", "v5p"):
        options["chip_config_name"] = "megacore"  # both cores of a chip are one device
        if all(is_ring for _, is_ring in of.rings):
            options["wrap"] = (True,) * len(of.topology)
    if math.prod(of.topology) == 1:
        options["chips_per_host_bounds"] = (1, 1, 1)
    if of.slices > 1:
        options["num_slices"] = of.slices
    shape = "x".join(map(str, of.topology))
    return topologies.get_topology_desc(platform="tpu", topology_name=f"{of.chip.name}:{shape}", **options)


def _cuda(of: Target) -> Any:
    if not any(map(importlib.util.find_spec, ("jax_cuda13_plugin", "jax_cuda12_plugin"))):
        raise _missing(of, "a CUDA plugin of JAX", "gpu-aot")
    shape = f"1x{of.slices}x{of.topology[0]}"
    description = _description(of.chip)
    return topologies.get_topology_desc(platform="cuda", topology_name="", target_config=description, topology=shape)


def _missing(of: Target, what: str, extra: str) -> PflError:
    return PflError(
        f"--target: expected {what} to compile for {of.name}, got none installed; pip install 'pfljax[{extra}]'"
    )


def _description(chip: Chip) -> str:
    """What XLA wants to know of a GPU, as text of its message GpuTargetConfigProto.

    Limits: the CUDA programming guide's table for compute capabilities 8.0 and 9.0; the rest: data sheets.
    """
    is_hopper = chip.name != "a100"
    major, cores, fpus, clock = (9, 132, 128, 1.98) if is_hopper else (8, 108, 64, 1.41)
    cache, shared, most_shared = (50, 228, 227) if is_hopper else (40, 164, 163)  # MiB, KiB, KiB
    return f"""
        gpu_device_info {{
          cuda_compute_capability {{ major: {major} minor: 0 }}
          core_count: {cores} fpus_per_core: {fpus} clock_rate_ghz: {clock}
          device_memory_size: {chip.memory * 4 // 3} memory_bandwidth: {int(chip.bandwidth)}
          l2_cache_size: {cache * 2**20}
          threads_per_warp: 32 threads_per_block_limit: 1024 threads_per_core_limit: 2048
          block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
          registers_per_core_limit: 65536 registers_per_block_limit: 65536
          shared_memory_per_core: {shared * 2**10} shared_memory_per_block: {48 * 2**10}
          shared_memory_per_block_optin: {most_shared * 2**10}
        }}
        platform_name: "CUDA"
        dnn_version_info {{ major: 9 minor: 8 }}
        runtime_version {{ major: 12 minor: 8 }}
        device_description_str: "NVIDIA {chip.about}"
    """
