"""A checkpoint as a result again, to be evaluated: read only, whoever is writing beside it."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pfljax import keys
from pfljax.checkpoints.best import Best, Better, better
from pfljax.checkpoints.fingerprint import Fingerprint, check_same, fingerprint
from pfljax.checkpoints.store import check_state, read_about, read_state
from pfljax.data.population import Population
from pfljax.engine import Result, Snapshot, rounds
from pfljax.engine.keep import State
from pfljax.engine.stream import Examples
from pfljax.engine.width import Width
from pfljax.errors import PflError
from pfljax.types import Algorithm

COMPARED = ("pfljax", "population", "algorithm")
READ = ("cohort", "unseen", "on_nonfinite", "reduction")  # arguments that a checkpoint knows


def load_checkpoint(
    folder: str | os.PathLike[str],
    algorithm: Algorithm,
    population: Population,
    *,
    best: str | None = None,
    devices: int | None = None,
    width: Width = "auto",
    examples: Examples | Literal["auto"] = "auto",
    state: State | Literal["auto"] = "auto",
) -> Result:
    """What `pfl.simulate` with `Checkpoints(folder)` had made when it was saved last, ready for `pfl.evaluate`.

    best: the metric that `Checkpoints` was given as `best`: the best round's checkpoint instead of the last one
    devices, width, examples, state: as for `pfl.rounds`; cohort, seed and the like are read from the checkpoint

    Another process may be training there; nothing is written. Raises PflError for a folder without checkpoints, or
    without the best one; for one that is damaged; for another algorithm or population, field by field.
    """
    with opened(Path(folder)) as saved:
        given = saved.fingerprint
        if "phase" in given:
            raise PflError(
                f"folder: expected checkpoints of pfl.simulate, got a phase of pfljax run in {str(folder)!r}; "
                "use pfl.load_run"
            )
        about = {name: value for name, value in given.items() if name.split(".")[0] in COMPARED}
        check_same("folder", about, fingerprint(algorithm, population, {}), "give the run's own")
        arguments = {name: given[name] for name in READ}
        arguments["seed"] = keys.Seeds(*(given[f"seed.{name}"] for name in keys.Seeds._fields))
        how = {"devices": devices, "width": width, "examples": examples, "state": state}
        return saved.result(algorithm, population, arguments | how, best)


class Saved(NamedTuple):
    """An open folder. about: the newest checkpoint's JSON; rounds: done at each, rising"""

    folder: Path
    manager: Any
    rounds: list[int]
    about: Mapping[str, Any]

    @property
    def fingerprint(self) -> Fingerprint:
        return self.about["fingerprint"]

    def result(
        self, algorithm: Algorithm, population: Population, arguments: Mapping[str, Any], best: str | None
    ) -> Result:
        """The state in the last checkpoint, or in the best one by a metric. arguments: of `pfl.rounds`"""
        done = self.rounds[-1] if best is None else self._best(best, better(best, algorithm.model, "best"))
        resume = partial(self._snapshot, done)
        *_, block = rounds(algorithm, population, rounds=done, resume=resume, **arguments)  # none is left to be run
        return block.result()

    def _best(self, metric: str, end: Better) -> int:
        best = Best(metric, end, self.about["records"])
        if not best.done:
            raise PflError(
                f"best: expected validation figures of {metric!r} in {str(self.folder)!r}, got none; "
                "train with eval_every"
            )
        if best.done not in self.rounds:
            raise PflError(
                f"best: expected the checkpoint after {best.done} rounds, the best by {metric!r}, got those after "
                f"{', '.join(map(str, self.rounds))} in {str(self.folder)!r}; train with best={metric!r}"
            )
        return best.done

    def _snapshot(self, done: int, shapes: Snapshot) -> Snapshot:
        about = self.about if done == self.rounds[-1] else _about(self.folder, self.manager, done)
        check_state("folder", about, shapes)
        try:
            servers, clients = read_state(self.manager, done, shapes)
        except Exception as error:
            raise _damaged(self.folder, done, error) from error
        return Snapshot(done, servers, clients, tuple(about["records"]))


@contextmanager
def opened(folder: Path) -> Iterator[Saved]:
    """The checkpoints in a folder. Raises PflError if it has no checkpoint, or the last one is damaged."""
    import orbax.checkpoint as ocp

    folder = Path(os.path.abspath(folder))
    is_there = folder.is_dir()
    if not is_there or not any(each.name.isdecimal() for each in folder.iterdir()):
        why = "which has none" if is_there else "which is not there"
        if (folder / "manifest.json").exists():
            why = "the folder of a pfljax run; use pfl.load_run"
        raise PflError(f"folder: expected one with checkpoints, got {str(folder)!r}, {why}")
    options = ocp.CheckpointManagerOptions(create=False)  # `read_only` does no more here, and logs a warning
    manager = ocp.CheckpointManager(folder, options=options)
    try:
        done = sorted(manager.all_steps())
        yield Saved(folder, manager, done, _about(folder, manager, done[-1]))
    finally:
        manager.close()


def _about(folder: Path, manager: Any, done: int) -> dict:
    try:
        return read_about(manager, done)
    except Exception as error:
        raise _damaged(folder, done, error) from error


def _damaged(folder: Path, done: int, error: Exception) -> PflError:
    reason = " ".join(str(error).split())[:200]
    return PflError(
        f"folder: expected a checkpoint that can be read, got a damaged one, {str(folder / str(done))!r} ({reason}); "
        "move it away to use the one before it"
    )
