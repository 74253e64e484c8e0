"""Runs the job, records it, shows it: whatever ends a run leaves a folder that says so."""

import time
from dataclasses import dataclass
from pathlib import Path

from pfljax.data import Population
from pfljax.engine import Diverged
from pfljax.evaluate import Evaluation
from pfljax.run import figures
from pfljax.run.compiling import compile_time
from pfljax.run.config import RunConfig
from pfljax.run.folder import Folder, Status, choose
from pfljax.run.interrupts import interrupts
from pfljax.run.job import Event, Finished, Ready, Started, Trained, job
from pfljax.run.progress import Display
from pfljax.run.report import verdict


@dataclass(frozen=True)
class Report:
    """How a run ended. evaluation and verdict are there if it finished."""

    status: Status
    path: Path | None
    num_rounds: int
    compile_seconds: float
    wall_seconds: float
    evaluation: Evaluation | None = None
    verdict: str = ""
    message: str = ""


def drive(config: RunConfig, display: Display, begin: float) -> Report:
    """Runs `config` into its folder. begin: `time.perf_counter()` when the command began.

    A run that diverges or is interrupted returns with that status and keeps what was recorded.
    Raises PflError, with nothing written, for what cannot run.
    """
    path = choose(config)
    run = _Run(path, config, begin)
    with compile_time() as compiled:
        try:
            with display, interrupts() as check:
                for event in job(config):
                    run.take(event)
                    display.show(event)
                    check()
        except Diverged as error:
            return run.end("diverged", compiled.seconds, f"{run.phase}: {error}")
        except KeyboardInterrupt:
            return run.end("interrupted", compiled.seconds)
        except BaseException as error:
            run.end("failed", compiled.seconds, f"{type(error).__name__}: {error}")
            raise
        return run.end("finished", compiled.seconds)


class _Run:
    """The state of one drive: the folder once there is one, the records so far."""

    def __init__(self, path: Path, config: RunConfig, begin: float):
        self.path, self.config, self.begin = path, config, begin
        self.folder: Folder | None = None
        self.population: Population | None = None
        self.records: list[dict] = []
        self.phase = ""
        self.how: dict[str, str] = {}
        self.evaluation: Evaluation | None = None
        self.verdict = ""

    def take(self, event: Event) -> None:
        """Writes down what an event brings."""
        if isinstance(event, Ready):
            self.population = event.population
            self.folder = Folder.open(self.path, self.config, event.population)
        elif isinstance(event, Started):
            self.phase = event.phase
        elif isinstance(event, Trained) and self.folder:
            self.folder.add_rounds(event.records)
            self.records += event.records
            self.how[event.phase] = event.how
        elif isinstance(event, Finished) and self.folder and self.population:
            self.evaluation, self.verdict = event.evaluation, verdict(event.evaluation, event.personal)
            self.folder.add_evaluation(event.evaluation, self.population, event.seconds, self.verdict)
            self.folder.add_figure("gain", figures.gain(event.evaluation, event.personal))

    def end(self, status: Status, compile_seconds: float, message: str = "") -> Report:
        """Closes the folder, if there is one."""
        wall_seconds = time.perf_counter() - self.begin
        if self.folder:
            # The status first: drawing may fail, or be interrupted in its turn.
            self.folder.close(
                status,
                compile_seconds=compile_seconds,
                wall_seconds=wall_seconds,
                how=self.how,
                message=message or None,
            )
            if self.records:
                self.folder.add_figure("learning_curve", figures.learning_curve(self.records))
        return Report(
            status=status,
            path=self.path if self.folder else None,
            num_rounds=len(self.records),
            compile_seconds=compile_seconds,
            wall_seconds=wall_seconds,
            evaluation=self.evaluation,
            verdict=self.verdict,
            message=message,
        )
