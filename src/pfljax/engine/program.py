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
from pfljax.engine.keep import lent_places, most_lent, owners_of
from pfljax.engine.memory import Needs
from pfljax.engine.place import Placed, place, placed_shapes
from pfljax.engine.round import Slots
from pfljax.engine.route import Route, busiest, num_peers, route
from pfljax.engine.stream import Stream
from pfljax.plan import Plan, Planner
from pfljax.plan.deal import capacity


@dataclass(frozen=True, eq=False)
class Program:
    """width: clients side by side on one device; why: one sentence; max_rounds: what a plan has room for;
    num_kept: clients whose state is on the devices; num_sent: for each hop, how many of them a device can send to each
    peer in a round; num_rows: rows that a device holds of a streamed population
    """

    job: Job
    width: int
    why: str
    max_rounds: int
    num_kept: int
    num_sent: tuple[int, ...] = ()
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
        arguments = (
            job.shapes(self.num_kept, self.num_slots),
            examples,
            self._slot_shapes(),
            scalar,
            scalar,
            job.key_shapes(),
        )
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
        return self.job.begin(self.num_kept, self.num_slots)

    def most_sent(self, plan: Plan) -> tuple[int, ...]:
        """For each hop the most rows of kept state that one device has to send to a peer in a round."""
        place = flat(self._owner(plan))  # whether devices keep it or are lent it, it is on the same ones
        return busiest(place, flat(plan.mask), self.job.num_kept_here, self.job.grid) if self.job.keeps else ()

    def most_lent(self, plan: Plan) -> int:
        """The most rows of kept state that a device needs for a plan."""
        return most_lent(self.owners(plan), self.job.num_kept_here)

    def _way(self, plan: Plan) -> Route | tuple[()]:
        """How kept state gets to where it is trained. Where hosts keep it, the carry holds what they lent."""
        if not self.job.keeps:
            return ()
        place = self._owner(plan)
        if self.job.state == "host":
            owners, owner, place = self.owners(plan), place[plan.mask], np.zeros_like(place)
            places = lent_places(owners, self.job.num_kept_here, self.num_kept_here)
            place[plan.mask] = places[np.searchsorted(owners, owner)]
        return route(flat(place), flat(plan.mask), self.num_kept_here, self.job.grid, self.num_sent)

    def _owner(self, plan: Plan) -> np.ndarray:
        """[round, device, chunk, lane]: rows of kept state."""
        return plan.run * np.int32(self.job.population.num_clients) + plan.row

    def owners(self, plan: Plan) -> np.ndarray:
        """The rows of kept state that a plan's clients have."""
        return owners_of(plan, self.job.population.num_clients)

    @property
    def num_kept_here(self) -> int:
        """Clients whose state is on one device."""
        return -(-self.num_kept // self.mesh.size)

    @property
    def num_slots(self) -> int:
        """Clients that one device has room for in a round."""
        return self.width * capacity(self.job.num_lanes, self.mesh.size, self.width)

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
        slots = Slots(
            flat(plan.row), flat(plan.run), self._way(plan), flat(plan.steps), flat(plan.mask), plan.num_chunks
        )
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
        here, shape = by_client(mesh, axis=1), (self.max_rounds, mesh.size, self.num_slots)

        def slot(shape: tuple[int, ...], dtype: Any) -> Any:
            return jax.ShapeDtypeStruct(shape, dtype, sharding=here)

        numbers, grid = slot(shape, np.int32), self.job.grid
        sizes = [num_peers(grid, hop) * room for hop, room in enumerate(self.num_sent)] if self.job.keeps else []
        sent = tuple(slot((*shape[:2], size), np.int32) for size in sizes)
        way = Route(numbers, sent, sent[-1] if sent else ()) if self.job.keeps else ()
        return Slots(numbers, numbers, way, numbers, slot(shape, bool), slot(shape[:2], np.int32))

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
