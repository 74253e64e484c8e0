"""Runs the job, records it, shows it: whatever ends a run leaves a folder that says so."""

import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax

import pfljax
from pfljax import processes, watch
from pfljax.checkpoints import Checkpoints
from pfljax.checkpoints.best import Best, Better
from pfljax.checkpoints.keep import Interrupted
from pfljax.checkpoints.lock import locked
from pfljax.checkpoints.store import Store, first
from pfljax.cluster import same_everywhere
from pfljax.data import Population
from pfljax.engine import Diverged
from pfljax.errors import PflError
from pfljax.evaluate import Evaluation
from pfljax.run import figures
from pfljax.run.compiling import compile_time
from pfljax.run.config import RunConfig, options
from pfljax.run.folder import Folder, Status, choose, git_revision
from pfljax.run.interrupts import interrupts
from pfljax.run.job import EVALUATION, Evaluated, Event, Finished, Ready, Started, Trained, job, judged
from pfljax.run.progress import Display
from pfljax.run.report import best_lines, verdict
from pfljax.run.resume import CHECKPOINTS, WHAT, Left, check_same_run, fingerprint, has_checkpoints, how_to_resume


@dataclass(frozen=True)
class Report:
    """How a run ended. evaluation and verdict are there if it finished.

    best: which round of each phase was best on validation rows, a line each, if any was looked at
    is_saved: it was asked to stop, and did so with nothing lost; can_resume: there is something to go on from
    """

    status: Status
    path: Path | None
    num_rounds: int
    compile_seconds: float
    wall_seconds: float
    evaluation: Evaluation | None = None
    verdict: str = ""
    best: tuple[str, ...] = ()
    message: str = ""
    is_saved: bool = False
    can_resume: bool = False


def drive(config: RunConfig, display: Display, begin: float, before: Left | None = None) -> Report:
    """Runs `config` into its folder. begin: `time.perf_counter()` when the command began.

    before: the run that it goes on from, in its folder. In several processes all call this; the first one writes.

    A run that diverges or is interrupted returns with that status and keeps what was recorded.
    Raises PflError, with nothing written, for what cannot run.
    """
    same_everywhere(_said(config))
    with ExitStack() as held, compile_time() as compiled:
        run = _Run(_path(config, before), config, begin, before, held)
        end = lambda status, message="", is_saved=False: run.end(status, compiled.seconds, message, is_saved)
        try:
            with display, interrupts() as stop, closing(job(config, run.opened, stop.asked)) as events:
                for event in events:
                    run.take(event)
                    if isinstance(event, Ready):
                        stop.can_save()
                    display.show(event)
                    stop.check()
                    if _is_evaluating(event) and processes.anyone(stop.asked()):
                        raise Interrupted
        except Diverged as error:
            return end("diverged", f"{run.phase}: {error}")
        except Interrupted:
            return end("interrupted", is_saved=True)
        except KeyboardInterrupt:
            return end("interrupted")
        except BaseException as error:
            _tried(partial(end, "failed", f"{type(error).__name__}: {error}"), error)
            raise
        return end("finished")


def _said(config: RunConfig) -> dict[str, str]:
    """What processes of one run have to have in common before they compute anything together."""
    given = {"population": config.population.name, "algorithm": config.algorithm.name} | options(config)
    code = {"pfljax": pfljax.__version__, "jax": jax.__version__, "git revision": git_revision()}
    return {name: str(value) for name, value in (given | code).items()}


def _path(config: RunConfig, before: Left | None) -> Path:
    """Where to write; the first process says when it began, for folders that are named by the time."""
    if before is not None:
        return before.path
    now = processes.agreed(time.time())
    found: list[Path] = []
    first(lambda: found.append(choose(config, now)), "--out")
    return found[0] if found else Path(config.out or "")


def _is_evaluating(event: Event) -> bool:
    """Whether there is nothing to save any more."""
    return isinstance(event, Evaluated) or (isinstance(event, Started) and event.phase == EVALUATION)


def _tried(end: Callable[[], object], error: BaseException) -> None:
    """A full disk, say, is what ended the run, and may keep its end from being written down as well."""
    try:
        end()
    except OSError as trouble:
        error.add_note(f"the manifest could not say so: {trouble}")


def _recorded(path: Path, write: Callable[[], None]) -> None:
    try:
        write()
    except OSError as error:
        raise PflError(
            f"{path}: expected it to be written to, got {error.strerror or error}; what was recorded stays, make room, "
            f"then: {how_to_resume(path)}"
        ) from error


class _Run:
    """The state of one drive: the folder once there is one, the records so far."""

    def __init__(self, path: Path, config: RunConfig, begin: float, before: Left | None, held: ExitStack):
        self.path, self.config, self.begin, self.before, self.held = path, config, begin, before, held
        self.folder: Folder | None = None  # of the first process
        self.is_open = False
        self.population: Population | None = None
        self.judged: tuple[str, Better] | None = None  # the validation metric, and which end of it is good
        self.records: list[dict] = []
        self.is_behind = False  # rounds.jsonl, which has not got the restored records yet
        self.phase, self.since = "", begin
        self.seconds: dict[str, float] = {}
        self.how: dict[str, str] = {}
        self.evaluation: Evaluation | None = None
        self.verdict = ""

    def opened(self, phase: str, population: Population) -> Store:
        """The checkpoints of a phase."""
        about = fingerprint(self.config, pfljax.__version__, population.checksum()) | {"phase": phase}
        settings = self.config.checkpoint
        folder = self.path / CHECKPOINTS / phase
        kept = Checkpoints(folder, settings.every, settings.keep, settings.best)
        end = self.judged[1] if self.judged else "lower"
        return Store(kept, about, WHAT if self.before else "--out", end)

    def take(self, event: Event) -> None:
        """Writes down what an event brings."""
        if isinstance(event, Ready):
            self._open(event.population)
        elif isinstance(event, Started):
            self._end_phase()
            self.phase = event.phase
        elif isinstance(event, Trained):
            self.records += event.records
            self.how[event.phase] = event.how
            first(partial(_recorded, self.path, partial(self._write, event)), "rounds.jsonl")
        elif isinstance(event, Finished):
            self.evaluation, self.verdict = event.evaluation, verdict(event.evaluation, event.personal)
            first(partial(_recorded, self.path, partial(self._write_evaluation, event)), "summary.json")

    def _open(self, population: Population) -> None:
        self.population, self.judged = population, judged(self.config, population)
        if self.before is not None:
            check_same_run(self.before, self.config, population.checksum())
        same_everywhere({"the population's checksum": population.checksum()})
        first(partial(self._open_folder, population), "--out")
        self.is_open = True
        watch.hint(how_to_resume(self.path))

    def _open_folder(self, population: Population) -> None:
        if self.before is None:
            Folder.make(self.path)
        self.held.enter_context(locked(self.path, WHAT if self.before else "--out"))
        self.folder = (
            Folder.open(self.path, self.config, population) if self.before is None else Folder.reopen(self.before)
        )

    def _write(self, event: Trained) -> None:
        assert self.folder is not None
        if event.is_restored:
            self.is_behind = True
        elif self.is_behind:
            self.folder.replace_rounds(self.records, is_forced=True)
            self.is_behind = False
        else:
            self.folder.add_rounds(event.records)

    def _write_evaluation(self, event: Finished) -> None:
        assert self.folder is not None
        assert self.population is not None
        self.folder.add_evaluation(event.evaluation, self.population, self.verdict)
        self.folder.add_figure("gain", figures.gain(event.evaluation, event.personal))

    def _end_phase(self) -> None:
        now = time.perf_counter()
        if self.phase:
            self.seconds[self.phase] = now - self.since
        self.since = now

    def _best(self) -> dict[str, dict]:
        """{phase: its best round}, for the manifest."""
        if self.judged is None:
            return {}
        found = {}
        for phase in dict.fromkeys(record["phase"] for record in self.records):
            best = Best(*self.judged, (record for record in self.records if record["phase"] == phase))
            if best.done:
                at = Path(CHECKPOINTS, phase, str(best.done))
                is_kept = self.config.checkpoint.best is not None and (self.path / at).is_dir()
                found[phase] = {
                    "metric": best.metric,
                    "rounds": best.done,
                    "figure": best.figure,
                    "checkpoint": at.as_posix() if is_kept else None,
                }
        return found

    def end(self, status: Status, compile_seconds: float, message: str = "", is_saved: bool = False) -> Report:
        """Closes the folder, if there is one."""
        self._end_phase()
        wall_seconds = time.perf_counter() - self.begin
        if self.folder:
            if self.is_behind:
                self.folder.replace_rounds(self.records, is_forced=status == "finished")
            # The status first: drawing may fail, or be interrupted in its turn.
            self.folder.close(
                status,
                compile_seconds=compile_seconds,
                wall_seconds=wall_seconds,
                seconds=self.seconds,
                how=self.how,
                best=self._best(),
                message=message or None,
            )
            if self.records:
                metric = self.judged[0] if self.judged else None
                self.folder.add_figure("learning_curve", figures.learning_curve(self.records, metric))
        return Report(
            status=status,
            path=self.path if self.is_open else None,
            num_rounds=len(self.records),
            compile_seconds=compile_seconds,
            wall_seconds=wall_seconds,
            evaluation=self.evaluation,
            verdict=self.verdict,
            best=best_lines(self._best()),
            message=message,
            is_saved=is_saved,
            can_resume=self.is_open and has_checkpoints(self.path),
        )
