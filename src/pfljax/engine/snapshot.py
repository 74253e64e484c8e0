"""A run between two blocks: what it can go on from, elsewhere or later."""

from collections.abc import Callable
from typing import NamedTuple

import jax

from pfljax.engine.block import Carry
from pfljax.engine.devices import by_client, put, replicated
from pfljax.engine.job import Job
from pfljax.engine.keep import Kept, at_home
from pfljax.engine.place import copied
from pfljax.engine.shelf import Clients, filled, in_order
from pfljax.errors import PflError
from pfljax.types import Tree


class Snapshot(NamedTuple):
    """round: how many have been executed; servers: [run, ...]; clients: kept state, rows padded to the devices (those
    past the last client mean nothing), on the devices or numpy; records: one dict a round so far.

    Nothing else goes from block to block: cohorts, batches and keys hang on a round's number.
    """

    round: int
    servers: Tree
    clients: Clients
    records: tuple[dict, ...]


Resume = Callable[[Snapshot], Snapshot]  # from shapes on this run's devices to arrays; no sharding: numpy


def taken(job: Job, carry: Carry, kept: Kept | None, round: int, records: tuple[dict, ...]) -> Snapshot:
    """A copy of the state after a block."""
    if len(job.runs) > 1:
        raise PflError(f"snapshot: expected a single run, got {len(job.runs)} side by side; run them one by one")
    if carry.halted.is_deleted():
        raise PflError("snapshot: expected to be asked before the next block ran; its buffers are gone")
    clients = in_order(carry.shelf, mesh=job.mesh) if kept is None else kept.copied()
    return Snapshot(round, copied(carry.servers, replicated(job.mesh)), clients, records)


def shapes(job: Job) -> Snapshot:
    """What a snapshot of a run on these devices holds, as shapes with shardings; without one where it is numpy."""
    clients = job.clients(job.num_kept)
    if job.state == "host":
        home = by_client(at_home(job.mesh)) if jax.process_count() > 1 else None
        clients = jax.tree.map(lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=home), clients)
    return Snapshot(0, job.shapes(job.num_kept, 1).servers, clients, ())


def resumed(job: Job, carry: Carry, kept: Kept | None, resume: Resume, num_rounds: int) -> tuple:
    """(carry, kept, rounds done, records so far) to go on from, in the places of those before the first round.

    Raises PflError if more rounds have been run than there are to be.
    """
    found = resume(shapes(job))
    if found.round > num_rounds:
        raise PflError(f"rounds: expected at least the {found.round} that have been run, got {num_rounds}; raise it")
    carry = carry._replace(servers=put(found.servers, replicated(job.mesh)))
    if kept is None:
        return (
            carry._replace(shelf=filled(carry.shelf, found.clients, mesh=job.mesh)),
            None,
            found.round,
            list(found.records),
        )
    return carry, kept.restored(found.clients), found.round, list(found.records)
