"""A job's block of rounds as a program: traced, compiled, weighed, ready to run."""

import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from pfljax import aggregate, keys
from pfljax.data.shard import Rows, Shard
from pfljax.engine.block import Carry, run_block
from pfljax.engine.devices import by_client, put, replicated
from pfljax.engine.job import Job
from pfljax.engine.keep import lent_places, owners_of
from pfljax.engine.memory import Needs
from pfljax.engine.place import Placed, place, placed_shapes
from pfljax.engine.round import Slots
from pfljax.engine.route import Route, busiest, route
from pfljax.engine.stream import Stream
from pfljax.plan import Plan, Planner
from pfljax.plan.deal import capacity


@dataclass(frozen=True, eq=False)
class Program:
    """width: clients side by side on one device; why: one sentence; max_rounds: what a plan has room for;
    num_kept: rows of client state on the devices; num_sent: how many of them one device can send another in a round;
    num_rows: rows that a device holds of a streamed population
    """

    job: Job
    width: int
    why: str
    max_rounds: int
    num_kept: int
    num_sent: int
    num_rows: int = 0
    stream: Stream | None = field(default=None)

    @cached_property
    def planner(self) -> Planner:
        return self.job.planner(self.width)

    def plan(self, first_round: int, num_rounds: int) -> Plan:
        return self.planner.block(first_round, num_rounds, self.max_rounds)

    @cached_property
    def traced(self) -> jax.stages.Traced:
        mesh, job = self.job.mesh, self.job
        scalar = jax.ShapeDtypeStruct((), np.int32, sharding=replicated(mesh))
        examples = self.stream.shapes(self.num_rows) if self.stream else placed_shapes(job.population, mesh)
        arguments = (job.shapes(self.num_kept), examples, self._slot_shapes(), scalar, scalar, job.key_shapes())
        return run_block.trace(*arguments, spec=job.spec(self.width), mesh=mesh)

    @cached_property
    def lowered(self) -> jax.stages.Lowered:
        return self.traced.lower()

    @cached_property
    def _timed(self) -> tuple[jax.stages.Compiled, float]:
        begin = time.perf_counter()
        compiled = self.lowered.compile()
        return compiled, time.perf_counter() - begin

    @property
    def compiled(self) -> jax.stages.Compiled:
        """The same executable that running finds."""
        return self._timed[0]

    @property
    def compile_seconds(self) -> float:
        """What tracing, lowering and compiling took; next to nothing if it had been done before."""
        return self._timed[1]

    @property
    def mesh(self) -> Mesh:
        return self.job.mesh

    @property
    def sizes(self) -> np.ndarray:
        """[client] train rows."""
        return self.job.population.sizes("train")

    @cached_property
    def needs(self) -> Needs:
        """Bytes on one device."""
        return Needs.of(self.compiled)

    @property
    def example_bytes(self) -> int:
        """Bytes of examples that each device reads, of all of them or of one block's."""
        if self.stream is not None:
            return self.num_rows * self.stream.row_bytes
        arrays = placed_shapes(self.job.population, self.job.mesh).arrays
        return sum(array.size * array.dtype.itemsize for array in arrays.values())

    @property
    def shared_bytes(self) -> int:
        """Those that take no memory of the device's own: CPU devices read resident examples where the host has them."""
        is_shared = self.stream is None and self.mesh.devices.flat[0].platform == "cpu"
        return self.example_bytes if is_shared else 0

    @property
    def device_bytes(self) -> int:
        """What running takes of a device's own memory; streamed examples twice, for the next block's come early."""
        return self.needs.total - self.shared_bytes + (self.example_bytes if self.stream is not None else 0)

    def begin(self) -> Carry:
        """The state before the first round."""
        return self.job.begin(self.num_kept)

    @cached_property
    def keeps(self) -> bool:
        """Whether clients keep anything."""
        return bool(jax.tree.leaves(self.job.shapes(1).clients))

    def most_sent(self, plan: Plan) -> int:
        """The most rows of kept state that one device has to send another in a round."""
        return busiest(*self._places(plan)) if self.keeps and self.mesh.size > 1 else 0

    def _places(self, plan: Plan) -> tuple[np.ndarray, np.ndarray, int]:
        """([round, device, slot] rows of kept state, which slots are in use, rows on a device).

        Where state lives on the host, the carry holds this plan's clients only.
        """
        place = plan.run * np.int32(self.job.population.num_clients) + plan.row
        if self.job.state == "host":
            place = lent_places(np.searchsorted(self.owners(plan), place), self.num_kept, self.mesh)
        return flat(place), flat(plan.mask), -(-self.num_kept // self.mesh.size)

    def owners(self, plan: Plan) -> np.ndarray:
        """The rows of kept state that a plan's clients have."""
        return owners_of(plan, self.job.population.num_clients)

    def place(self) -> Placed | None:
        """The examples, if they live on the devices."""
        return None if self.stream else place(self.job.population, self.job.mesh)

    def gather(self, plan: Plan) -> Placed:
        """The rows of a streamed plan's clients."""
        assert self.stream is not None
        return self.stream.gather(clients_of(plan), self.num_rows)

    def run(self, carry: Carry, placed: Placed, plan: Plan) -> tuple[Carry, Any, Any]:
        """(carry, client info, server info), not waited for; the carry that goes in is used up."""
        mesh = self.job.mesh
        way = route(*self._places(plan), self.num_sent) if self.keeps else ()
        slots = Slots(flat(plan.row), flat(plan.run), way, flat(plan.steps), flat(plan.mask), plan.num_chunks)
        scalars = (np.int32(plan.first_round), np.int32(plan.num_rounds))
        slots, scalars = put(slots, by_client(mesh, axis=1)), put(scalars, replicated(mesh))
        return run_block(carry, placed, slots, *scalars, self._keys, spec=self._spec, mesh=mesh)

    @cached_property
    def _keys(self) -> jax.Array:
        return self.job.keys()

    @cached_property
    def _spec(self):
        return self.job.spec(self.width)

    def _slot_shapes(self) -> Slots:
        mesh = self.job.mesh
        room = capacity(self.job.num_lanes, mesh.size, self.width)
        here, shape = by_client(mesh, axis=1), (self.max_rounds, mesh.size, room * self.width)

        def slot(shape: tuple[int, ...], dtype: Any) -> Any:
            return jax.ShapeDtypeStruct(shape, dtype, sharding=here)

        numbers, pair = slot(shape, np.int32), slot((*shape[:2], mesh.size * self.num_sent), np.int32)
        way = Route(numbers, ()) if mesh.size == 1 else Route(pair, pair)
        return Slots(numbers, numbers, way if self.keeps else (), numbers, slot(shape, bool), slot(shape[:2], np.int32))

    def client(self, num_steps: int, num_rows: int) -> jax.extend.core.ClosedJaxpr:
        """One client's round, from what it is sent to its addends, with these as static numbers.

        Its loops have lengths then, which the block's own, dynamic ones have not.
        """
        job, spec = self.job, self.job.spec(self.width)
        server = jax.eval_shape(lambda: job.server(job.runs[0]))
        row, steps = np.asarray(0, np.int32), np.asarray(num_steps, np.int32)

        def one(server, key, arrays):
            sent = spec.send(server, row)
            mine, addends = spec.init_client(keys.use(key, "init"), sent), []
            rows = lambda count: Rows(arrays, row, np.asarray(count, np.int32), spec.max_count)
            shard = Shard(row, steps, rows(num_rows), rows(1))
            for client, _ in spec.passes:
                upload, mine, _ = client(key, sent, mine, shard)
                addends.append(aggregate.contribution(upload, jnp.bool_(True)))
            return addends

        return jax.make_jaxpr(one)(server, keys.root(0), placed_shapes(job.population, job.mesh).arrays)


def flat(part: np.ndarray) -> np.ndarray:
    """[round, device, chunk, lane] as [round, device, slot]."""
    return part.reshape(*part.shape[:2], -1)


def clients_of(plan: Plan) -> list[np.ndarray]:
    """The population rows that each device trains in a plan."""
    num = plan.num_rounds
    return [plan.row[:num, device][plan.mask[:num, device]] for device in range(plan.row.shape[1])]
