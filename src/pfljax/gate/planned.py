"""What the rounds of a plan cost: the operations of one client, times what the plan makes the devices do."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from pfljax.data.shard import tile_of
from pfljax.engine import Program
from pfljax.engine.place import max_count
from pfljax.errors import PflError
from pfljax.gate.operations import Operations, operations
from pfljax.plan import Plan

Count = Callable[[int, int], Operations]  # (steps, train rows) -> one client's operations in one round


class Planned(NamedTuple):
    """Sums over the rounds of a plan and all devices.

    paid, useful: operations that are executed, and those left if no client waited for another in its chunk
    steps:        optimizer steps that clients take; lane_steps: those that lanes spend, waiting and empty ones too
    longest:      steps that the most loaded device of each round runs, one after another
    """

    paid: Operations
    useful: Operations
    steps: int
    lane_steps: int
    longest: int


def round_operations(program: Program, plan: Plan, count: Count | None = None) -> Planned:
    """The cost of a plan's rounds. count: one client's operations, default `bilinear(program)`.

    Lanes run side by side, so a chunk runs for its longest member in every lane. Work outside the clients' own is
    not in it.
    """
    count = bilinear(program) if count is None else count
    steps = plan.steps[: plan.num_rounds].astype(np.int64)  # [round, device, chunk, lane]
    rows = program.job.population.sizes("train")[plan.row[: plan.num_rounds]]
    mask = plan.mask[: plan.num_rounds]
    runs = np.arange(steps.shape[2]) < plan.num_chunks[: plan.num_rounds, :, None]  # [round, device, chunk]
    longest = steps.max(axis=-1)
    width = steps.shape[-1]
    chunk = longest * runs
    return Planned(
        paid=_total(count, longest[runs], rows.max(axis=-1)[runs], width),
        useful=_total(count, steps[mask], rows[mask], 1),
        steps=int(steps[mask].sum()),
        lane_steps=int(chunk.sum()) * width,
        longest=int(chunk.sum(axis=-1).max(axis=-1).sum()),
    )


def bilinear(program: Program) -> Count:
    """A client's operations for any (steps, rows), from four traces: linear in steps and in tiles of rows.

    All algorithms of this library are, for a step sees a batch or all tiles. Raises PflError for one that is not.
    """
    traced, tile = exact(program), tile_of(max_count(program.job.population))
    corners = {(steps, tiles): traced(steps, tiles * tile) for steps in (1, 2) for tiles in (1, 2)}

    def count(num_steps: int, num_rows: int) -> Operations:
        s, t = num_steps, -(-num_rows // tile)
        total = Operations()
        for (steps, tiles), corner in corners.items():
            weight = (s - 1 if steps == 2 else 2 - s) * (t - 1 if tiles == 2 else 2 - t)
            total = total.plus(corner.times(weight))
        return total._replace(unknown_loops=corners[1, 1].unknown_loops)

    expected, got = count(3, 3 * tile), traced(3, 3 * tile)
    if expected != got:
        raise PflError(
            f"operations of {program.job.algorithm.name}: expected them to grow linearly with steps and with tiles of "
            f"{tile} rows, so to {expected.floating} for 3 steps on 3 tiles, got {got.floating}; "
            "pass count=pfljax.gate.exact, or your own function: program -> (steps, rows) -> pfljax.gate.Operations"
        )
    return count


def exact(program: Program) -> Count:
    """A client's operations for any (steps, rows), each traced for itself: slower, and right for every algorithm."""
    return cache(lambda num_steps, num_rows: operations(program.client(num_steps, num_rows)))


def _total(count: Count, steps: np.ndarray, rows: np.ndarray, lanes: int) -> Operations:
    """The sum over entries of `lanes` clients with these steps and rows."""
    total = Operations()
    pairs, times = np.unique(np.stack([steps, rows]), axis=1, return_counts=True)
    for (num_steps, num_rows), occurrences in zip(pairs.T.tolist(), times.tolist(), strict=True):
        total = total.plus(count(num_steps, num_rows).times(occurrences * lanes))
    return total._replace(unknown_loops=0)
