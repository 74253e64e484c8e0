"""What a run shows while it works: a live line for a terminal, plain lines for everything else."""

import time
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from pfljax import processes
from pfljax.run.job import EVALUATION, FEDAVG, WARMUP, Evaluated, Event, Started, Trained

TITLES = {WARMUP: "FedAvg, warm start", FEDAVG: "FedAvg, trained on", EVALUATION: "evaluation"}
QUIET_SECONDS = 2.0  # between plain lines


class Display(Protocol):
    """Shows events; a context manager, so that a terminal is left as it was."""

    def __enter__(self) -> "Display": ...

    def __exit__(self, *problem) -> None: ...

    def show(self, event: Event) -> None: ...


def display(console: Console) -> Display:
    if not processes.is_first():
        return Quiet()
    return Live(console) if console.is_terminal else Plain(console)


class Live:
    """One line a phase: rounds done, loss, clients per second, time left."""

    def __init__(self, console: Console):
        self._progress = Progress(
            TextColumn("{task.description:<18}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.fields[note]:<27}"),
            TimeLeft(),
            console=console,
            expand=True,
        )
        self._task: TaskID | None = None
        self._how = ""

    def __enter__(self) -> "Live":
        self._progress.start()
        return self

    def __exit__(self, *problem) -> None:
        self._progress.stop()

    def show(self, event: Event) -> None:
        if isinstance(event, Started):
            title = TITLES.get(event.phase, event.phase)
            self._task = self._progress.add_task(title, total=event.size, note="compiling")
        elif self._task is not None and isinstance(event, Trained | Evaluated):
            if isinstance(event, Trained) and event.how != self._how:
                self._how = event.how
                self._progress.console.print(event.how, markup=False, highlight=False)
            self._progress.update(self._task, advance=_size(event), note=_note(event), refresh=True)


class TimeLeft(ProgressColumn):
    """Seconds left of a phase, by its pace so far; afterwards what it took."""

    def render(self, task: Task) -> Text:
        seconds, word = (task.elapsed, "    ") if task.finished else (task.time_remaining, "left")
        return Text("" if seconds is None else f"{seconds:4.0f} s {word}")


class Plain:
    """A line when a tenth of a phase and two seconds have gone by, and one at its end."""

    def __init__(self, console: Console):
        self._console = console
        self._phase, self._size, self._done, self._shown, self._since = "", 0, 0, 0, 0.0
        self._how = ""

    def __enter__(self) -> "Plain":
        return self

    def __exit__(self, *problem) -> None:
        pass

    def show(self, event: Event) -> None:
        if isinstance(event, Started):
            self._phase, self._size = TITLES.get(event.phase, event.phase), event.size
            self._done, self._shown, self._since = 0, 0, time.perf_counter()
        elif isinstance(event, Trained | Evaluated):
            if isinstance(event, Trained) and event.how != self._how:
                self._how = event.how
                self._console.print(event.how, markup=False, highlight=False, soft_wrap=True)
            self._done += _size(event)
            is_due = self._done - self._shown >= self._size / 10 and time.perf_counter() - self._since >= QUIET_SECONDS
            if is_due or self._done == self._size:
                line = f"{self._phase}: {self._done}/{self._size}  {_note(event)}"
                self._console.print(line, markup=False, highlight=False, soft_wrap=True)
                self._shown, self._since = self._done, time.perf_counter()


class Quiet:
    """Shows nothing: for all processes but the first."""

    def __enter__(self) -> "Quiet":
        return self

    def __exit__(self, *problem) -> None:
        pass

    def show(self, event: Event) -> None:
        pass


def _size(event: Trained | Evaluated) -> int:
    return len(event.records) if isinstance(event, Trained) else 1


def _note(event: Trained | Evaluated) -> str:
    if isinstance(event, Evaluated):
        return event.curve.name
    if event.is_restored:
        return "restored"
    last = event.records[-1]
    return f"loss {last.get('loss', float('nan')):.3f}  {last['clients_per_second']:,.0f} clients/s"
