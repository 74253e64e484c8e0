"""What a simulation is about, checked and complete, before anything is compiled or computed."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from pfljax import aggregate, keys
from pfljax.data.memory import ALIGNMENT
from pfljax.data.population import Population
from pfljax.engine.block import Carry
from pfljax.engine.devices import make_mesh, put, replicated
from pfljax.engine.keep import State, at_home
from pfljax.engine.memory import free_bytes, num_bytes, said
from pfljax.engine.place import max_count, narrowed
from pfljax.engine.round import OnNonfinite, Spec
from pfljax.engine.route import Grid, grid
from pfljax.engine.runs import stack
from pfljax.engine.shelf import Clients, Shelf, shapes
from pfljax.engine.start import client_shapes, fresh_shelf, initial_server
from pfljax.engine.stream import Examples
from pfljax.errors import PflError, whole
from pfljax.plan import Planner, Sampler, hold_out
from pfljax.plan.deal import capacity
from pfljax.types import Algorithm, Census, Tree, Vars
from pfljax.upload import Transform

SHARE = 0.5  # of the free memory; examples that take more are streamed


@dataclass(frozen=True, eq=False)
class Run:
    """One run of a sweep. hyper: all of the algorithm's scalars, with this run's values."""

    seeds: keys.Seeds
    hyper: Mapping[str, float]
    census: Census


@dataclass(frozen=True, eq=False)
class Job:
    """One or several runs that differ in seeds and hyper-parameters only.

    steps, cost: [client]; memory: bytes of each device, where the devices are only described and cannot be asked
    """

    algorithm: Algorithm
    population: Population
    runs: tuple[Run, ...]
    cohort: int
    mesh: Mesh
    params: Vars | Tree | None
    upload: Transform | None
    on_nonfinite: OnNonfinite
    reduction: aggregate.Kind
    examples: Examples
    state: State
    memory: int | None = None

    @cached_property
    def steps(self) -> np.ndarray:
        return self.algorithm.steps(self.population.sizes("train"))

    @cached_property
    def cost(self) -> np.ndarray:
        return self.algorithm.cost(self.population.sizes("train"))

    @property
    def num_lanes(self) -> int:
        """Clients that train in one round, over all runs."""
        return self.cohort * len(self.runs)

    def planner(self, width: int) -> Planner:
        samplers = tuple(Sampler(np.flatnonzero(run.census.seen), self.cohort, run.seeds.sampling) for run in self.runs)
        num_kept = self.num_kept_here if self.keeps else 0
        return Planner(samplers, self.steps, self.cost, self.mesh.size, width, num_kept)

    def spec(self, width: int) -> Spec:
        of = self.algorithm
        return Spec(
            send=of.send,
            init_client=of.init_client,
            passes=of.passes,
            upload=self.upload,
            num_devices=self.mesh.size,
            grid=self.grid,
            width=width,
            num_runs=len(self.runs),
            cohort=self.cohort,
            on_nonfinite=self.on_nonfinite,
            reduction=self.reduction,
            is_streamed=self.examples == "streamed",
            max_count=max_count(self.population),
        )

    def server(self, run: Run) -> Tree:
        """A run's server before the first round."""
        return initial_server(self.algorithm._replace(hyper=run.hyper), run.census, run.seeds, self.params)

    def begin(self, num_kept: int, num_slots: int) -> Carry:
        """The state before the first round, on its devices, in buffers that the loop may donate.

        num_kept: clients whose state is on the devices; num_slots: free rows beside it on each
        """
        servers = [self.server(run) for run in self.runs]
        return Carry(
            put(jax.tree.map(lambda *leaves: stack(leaves), *servers), replicated(self.mesh)),
            self.shelf(num_kept, num_slots),
            put(np.full(len(self.runs), -1, np.int32), replicated(self.mesh)),
        )

    def shelf(self, num_kept: int, num_slots: int) -> Shelf:
        """Zeros for so many clients, visited nowhere, on the devices."""
        return fresh_shelf(self.algorithm.name, self.clients(num_kept), num_slots, self.mesh)

    def shapes(self, num_kept: int, num_slots: int) -> Carry:
        """What `begin` returns, as shapes; nothing is computed."""
        everywhere = replicated(self.mesh)
        wide = lambda s: jax.ShapeDtypeStruct((len(self.runs), *s.shape), s.dtype, sharding=everywhere)
        halted: Any = jax.ShapeDtypeStruct((len(self.runs),), np.int32, sharding=everywhere)
        return Carry(jax.tree.map(wide, self._server), shapes(self.clients(num_kept), num_slots, self.mesh), halted)

    def clients(self, num_kept: int) -> Clients:
        """The kept state of so many clients in their order, padded to the mesh, as shapes."""
        return client_shapes(self.algorithm, self._server, num_kept, self.mesh)

    @cached_property
    def _server(self) -> Tree:
        return jax.eval_shape(lambda: self.server(self.runs[0]))

    @property
    def num_kept(self) -> int:
        """Clients whose state is kept, over all runs."""
        return self.population.num_clients * len(self.runs)

    @property
    def num_kept_here(self) -> int:
        """Clients whose state is kept on one device, or on the host for it: the first ones on the first device."""
        return -(-self.num_kept // self.mesh.size)

    @cached_property
    def keeps(self) -> bool:
        """Whether clients keep anything."""
        return bool(jax.tree.leaves(self.clients(1)))

    @cached_property
    def grid(self) -> Grid:
        return grid(self.mesh.size)

    def keys(self) -> jax.Array:
        """[run]: the roots of what clients draw."""
        return put(self._keys(), replicated(self.mesh))

    def key_shapes(self) -> jax.ShapeDtypeStruct:
        """What `keys` returns, as a shape."""
        shape = jax.eval_shape(self._keys)
        return jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=replicated(self.mesh))

    def _keys(self) -> jax.Array:
        return jnp.stack([keys.use(keys.root(run.seeds.model), "clients") for run in self.runs])


def make_job(
    algorithm: Algorithm,
    population: Population,
    *,
    cohort: int,
    seeds: Sequence[int | keys.Seeds],
    hyper: Mapping[str, Sequence[float]] | None = None,
    unseen: float = 0.2,
    params: Vars | Tree | None = None,
    upload: Transform | None = None,
    devices: int | Mesh | None = None,
    memory: int | None = None,
    on_nonfinite: OnNonfinite = "stop",
    reduction: aggregate.Kind = "fast",
    examples: Examples | Literal["auto"] = "auto",
    state: State | Literal["auto"] = "auto",
) -> Job:
    """The job of every seed with every setting of `hyper`; PflError for what cannot run. See `pfljax.rounds`.

    devices: how many, or a mesh, also of devices that are not here but only described; memory: bytes of each of those
    """
    cohort = whole("cohort", cohort)
    for name, value, known in (
        ("on_nonfinite", on_nonfinite, ("stop", "drop")),
        ("reduction", reduction, ("fast", "ordered")),
        ("examples", examples, ("auto", "resident", "streamed")),
        ("state", state, ("auto", "device", "host")),
    ):
        if value not in known:
            raise PflError(f"{name}: expected one of {', '.join(map(repr, known))}, got {value!r}")
    sizes = population.sizes("train")
    runs = []
    for setting, each in itertools.product(_settings(algorithm, hyper), [keys.seeds(seed) for seed in seeds]):
        seen = hold_out(population, unseen, each.split)
        runs.append(Run(each, {**algorithm.hyper, **setting}, Census(population.num_clients, seen, sizes)))
    if not runs:
        raise PflError("seeds: expected at least one, got none")
    job = Job(
        algorithm=algorithm,
        population=population,
        runs=tuple(runs),
        cohort=cohort,
        mesh=devices if isinstance(devices, Mesh) else make_mesh(devices),
        params=params,
        upload=upload,
        on_nonfinite=on_nonfinite,
        reduction=reduction,
        examples="resident",
        state="device",
        memory=memory,
    )
    job = replace(job, examples=_fitting(job, examples), state=_at_home(job, state))
    if job.num_kept >= 2**31:
        raise PflError(f"seeds: expected clients times runs below 2**31, got {job.num_kept}; take fewer runs at once")
    job.planner(1)  # refuses a cohort that cannot be drawn
    return job


def _settings(algorithm: Algorithm, hyper: Mapping[str, Sequence[float]] | None) -> list[dict[str, float]]:
    """One dict of scalars a run. hyper: {name: values}, the first values together, then the second, and so on."""
    if not hyper:
        return [{}]
    unknown = sorted(set(hyper) - set(algorithm.hyper))
    if unknown:
        known = ", ".join(sorted(algorithm.hyper)) or "none"
        raise PflError(f"hyper: expected scalars of {algorithm.name} ({known}), got {', '.join(unknown)}")
    counts = {name: len(values) for name, values in hyper.items()}
    if len(set(counts.values())) != 1:
        raise PflError(f"hyper: expected as many values of each scalar, got {counts}")
    if 0 in counts.values():
        raise PflError(f"hyper: expected at least one value of each scalar, got {counts}")
    return [dict(zip(hyper, values, strict=True)) for values in zip(*hyper.values(), strict=True)]


def _at_home(job: Job, state: State | Literal["auto"]) -> State:
    """Where client state lives: on the devices if it fits there, unless the caller has said."""
    kept = job.clients(job.num_kept)
    if not jax.tree.leaves(kept):
        return "device"
    if state == "auto":
        shelf = shapes(kept, capacity(job.num_lanes, job.mesh.size, 1), job.mesh)
        state = "device" if num_bytes(shelf) // job.mesh.size <= SHARE * free_bytes(job.mesh, job.memory) else "host"
    if state == "host" and jax.process_count() > 1:
        at_home(job.mesh)  # refuses where the hosts have no place for it
    return state


def _fitting(job: Job, examples: Examples | Literal["auto"]) -> Examples:
    """Where the examples live: on the devices if they fit there, unless the caller has said."""
    if examples == "streamed":
        return "streamed"
    population = job.population
    needed, free = _resident_bytes(population, job.mesh), free_bytes(job.mesh, job.memory)
    if examples == "auto":
        return "resident" if needed <= SHARE * free and population.num_rows < 2**31 else "streamed"
    if needed > free:
        raise PflError(
            f"examples: expected {population.num_rows} rows to fit into {said(free)} of each device, "
            f"got {said(needed)}; use examples='streamed'"
        )
    return "resident"


def _resident_bytes(population: Population, mesh: Mesh) -> int:
    """New memory that one device needs for all rows; CPU devices share it, and need none for rows that lie well."""
    is_cpu = mesh.devices.flat[0].platform == "cpu"
    total = 0
    for array in population.arrays.values():
        is_ready = narrowed(array.dtype) == array.dtype and array.ctypes.data % ALIGNMENT == 0
        if not (is_cpu and is_ready and array.flags.c_contiguous):
            total += array.size * narrowed(array.dtype).itemsize
    return total // mesh.size if is_cpu else total
