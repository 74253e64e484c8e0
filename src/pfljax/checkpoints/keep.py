"""Blocks on their way from the engine, saved as time goes by."""

import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from pfljax import processes
from pfljax.checkpoints.store import Store
from pfljax.engine import Block

NOTHING: Mapping = MappingProxyType({})


class Interrupted(Exception):
    """The run was asked to stop, and has been saved up to there."""


def kept(
    blocks: Iterator[Block],
    store: Store,
    num_rounds: int,
    asked: Callable[[], bool] = lambda: False,
    figures: Mapping[int, Mapping[str, Any]] = NOTHING,
) -> Iterator[Block]:
    """Passes blocks on and, once the caller is done with one, saves the run if it is time, at its end, or if asked to.

    asked:   whether to stop; a process that is asked stops all of them, after the same block
    figures: {round: figures} that the caller finds on the way, for the records

    Raises `Interrupted` when asked to stop, PflError if a save failed.
    """
    since = time.perf_counter()
    for block in blocks:
        yield block
        done = block.first_round + block.num_rounds
        if block.stopped is not None:  # what follows is its exception
            continue
        is_asked = processes.anyone(asked())
        is_due = processes.agreed(time.perf_counter() - since) >= store.settings.every
        is_best = store.is_best({"round": done - 1, **figures.get(done - 1, {})})
        if done not in store.rounds and (is_asked or is_due or is_best or done == num_rounds):
            snapshot = block.snapshot()
            records = tuple(record | figures.get(record["round"], {}) for record in snapshot.records)
            store.save(snapshot._replace(records=records))
            since = time.perf_counter()
        if is_asked:
            store.wait()
            raise Interrupted
    store.wait()
