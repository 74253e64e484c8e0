"""How much memory a compiled program takes, and how much there is."""

import os
from dataclasses import dataclass
from pathlib import Path

import jax
from jax.sharding import Mesh

from pfljax import processes
from pfljax.types import Tree


@dataclass(frozen=True)
class Needs:
    """Bytes on one device: what goes in, what comes out beside it, what comes and goes, the program itself."""

    arguments: int
    outputs: int
    temporaries: int
    code: int

    @staticmethod
    def of(compiled: jax.stages.Compiled) -> "Needs":
        found = compiled.memory_analysis()
        assert found is not None
        fresh = max(0, found.output_size_in_bytes - found.alias_size_in_bytes)  # donated buffers are used again
        return Needs(found.argument_size_in_bytes, fresh, found.temp_size_in_bytes, found.generated_code_size_in_bytes)

    @property
    def total(self) -> int:
        return self.arguments + self.outputs + self.temporaries + self.code


def free_bytes(mesh: Mesh, memory: int | None = None) -> int:
    """Bytes that each device of the mesh can still give; CPU devices share what the host has.

    memory: what each has, where the devices are only described and cannot be asked.
    In several processes the least that any of them finds, for all have to decide alike.
    """
    return int(processes.smallest(_free_bytes(mesh))) if memory is None else memory


def host_free_bytes() -> int:
    """What the host can give without swapping, caches that it would drop included; of several hosts the least."""
    return int(processes.smallest(_host_free_bytes()))


def _free_bytes(mesh: Mesh) -> int:
    device = mesh.local_devices[0]
    if device.platform == "cpu":
        return _host_free_bytes() // mesh.size  # of several processes on one host, too, all share what it has
    stats = device.memory_stats() or {}
    if "bytes_limit" not in stats:
        return _host_free_bytes()
    return stats["bytes_limit"] - stats.get("bytes_in_use", 0)


def _host_free_bytes() -> int:
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def num_bytes(tree: Tree) -> int:
    """Bytes of arrays or shapes."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def said(num_bytes: float) -> str:
    """Bytes as people read them.

    >>> said(3 * 2**30), said(1536), said(12)
    ('3.0 GiB', '1.5 KiB', '12 B')
    """
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if num_bytes >= size:
            return f"{num_bytes / size:.1f} {unit}"
    return f"{num_bytes:.0f} B"
