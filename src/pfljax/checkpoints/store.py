"""One run's checkpoints in their folder, written by orbax: complete or not there, and in the background."""

import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pfljax import processes, watch
from pfljax.checkpoints import arrays, late
from pfljax.checkpoints.best import Best, Better
from pfljax.checkpoints.fingerprint import Fingerprint, check_same
from pfljax.checkpoints.lock import locked
from pfljax.checkpoints.settings import Checkpoints
from pfljax.engine import Snapshot
from pfljax.engine.shelf import Clients
from pfljax.errors import PflError

ARRAYS, ABOUT = "arrays", "about"
DAMAGED = "damaged-"
SHORT = 200  # characters of another library's message


class Store:
    """An open folder of checkpoints, held against other runs; a context manager.

    what: the option or field that named it, for messages; better: which end of the metric `best` is good
    restored: what the run went on from, None if it began anew

    Raises PflError for a folder that cannot be written to, is in use, or holds another run's checkpoints.
    """

    def __init__(
        self,
        settings: Checkpoints,
        fingerprint: Fingerprint,
        what: str = "checkpoints",
        better: Better = "lower",
    ):
        import orbax.checkpoint as ocp

        self.settings, self.fingerprint, self.what = settings, fingerprint, what
        self.folder = Path(os.path.abspath(settings.folder))
        self.restored: Snapshot | None = None
        self._best = Best(settings.best, better)
        late.leave_unsaid()
        with ExitStack() as held:
            held.enter_context(_said_once())
            first(lambda: self._hold(held), what)
            options = ocp.CheckpointManagerOptions(
                preservation_policy=_Preserved(settings.keep, self._best),
                cleanup_tmp_directories=True,
                save_interval_steps=1,
            )
            self._manager = ocp.CheckpointManager(self.folder, options=options)
            held.callback(self._manager.close)
            self._abouts = self._read()
            self._held = held.pop_all()

    def _hold(self, held: ExitStack) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PflError(
                f"{self.what}: expected a folder that can be made, got {str(self.folder)!r}: {error.strerror}"
            ) from error
        held.enter_context(locked(self.folder, self.what))

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, kind, problem: BaseException | None, trace) -> None:
        """Waits for what is being written. What ends the run anyway goes on, with a note if that failed as well."""
        try:
            self._written(self._held.close, None)
        except PflError as late:
            if problem is None:
                raise
            problem.add_note(str(late))

    @property
    def rounds(self) -> Sequence[int]:
        """Rounds done at each complete checkpoint, rising."""
        return sorted(self._manager.all_steps())

    @property
    def resume(self) -> Callable[[Snapshot], Snapshot] | None:
        """For `pfl.rounds`; None if there is nothing to go on from."""
        return self._restore if self._abouts else None

    def save(self, snapshot: Snapshot) -> None:
        """Copies it and goes on writing in the background. Raises PflError if this or the save before failed."""
        import orbax.checkpoint as ocp

        about = {"fingerprint": self.fingerprint, "state": arrays.abouts(snapshot), "records": list(snapshot.records)}
        items = {ARRAYS: ocp.args.PyTreeSave(arrays.plain(snapshot)), ABOUT: ocp.args.JsonSave(about)}
        self._written(lambda: self._manager.save(snapshot.round, args=ocp.args.Composite(**items)), snapshot.round)

    def wait(self) -> None:
        """Returns when all is on disk. Raises PflError if it could not be written."""
        self._written(self._manager.wait_until_finished, None)

    def is_best(self, record: Mapping[str, Any]) -> bool:
        """Takes note of a round's record; whether its validation figure is the best so far."""
        return self._best.is_met(record)

    def _written(self, write: Callable[[], Any], round: int | None) -> None:
        try:
            write()
        except Exception as error:
            if watch.whose_fault(error):  # a process was lost, not the disk
                raise
            about = "the last checkpoint" if round is None else f"the checkpoint after {round} rounds"
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:SHORT]
            raise PflError(
                f"{self.what}: expected {about} to be written to {str(self.folder)!r}, got {reason}; those before are "
                "complete, make room or mend the disk and go on from them"
            ) from error

    def _read(self) -> dict[int, dict]:
        """{rounds done: a checkpoint's JSON}, newest first."""
        found = {}
        for done in reversed(self.rounds):
            try:
                about = read_about(self._manager, done)
            except Exception as error:
                if watch.whose_fault(error):
                    raise
                self._put_aside(done, error)
                continue
            check_same(self.what, about["fingerprint"], self.fingerprint, "give the run's own, or name another folder")
            found[done] = about
        if not found and any(self.folder.glob(f"{DAMAGED}*")):
            raise self._only_damaged()
        return found

    def _restore(self, shapes: Snapshot) -> Snapshot:
        """The newest checkpoint that can be read; those that cannot are put aside, and that is said."""
        for done, about in self._abouts.items():
            check_state(self.what, about, shapes)
            trouble: Exception | None = None
            state: tuple = ()
            try:
                state = read_state(self._manager, done, shapes)
            except Exception as error:
                trouble = error
            if not processes.anyone(trouble is not None):
                for record in about["records"]:
                    self._best.is_met(record)
                servers, clients = state
                found = Snapshot(done, servers, clients, tuple(about["records"]))
                # Without the arrays: the run has them, and state that is held twice may not fit.
                self.restored = found._replace(servers=(), clients=Clients((), ()))
                return found
            self._put_aside(done, trouble or RuntimeError("another process could not read it"))
        raise self._only_damaged()

    def _only_damaged(self) -> PflError:
        return PflError(
            f"{self.what}: expected a checkpoint that can be read, got only damaged ones in {str(self.folder)!r}; "
            "begin anew in another folder"
        )

    def _put_aside(self, done: int, error: Exception) -> None:
        """A damaged checkpoint keeps its files under another name, where no save comes upon it."""
        path = self.folder / str(done)
        warnings.warn(
            f"{self.what}: the checkpoint after {done} rounds is damaged and now called {DAMAGED}{done}; going on "
            f"from the one before it ({' '.join(str(error).split())[:SHORT]})",
            stacklevel=2,
        )
        first(lambda: os.replace(path, path.with_name(f"{DAMAGED}{done}")), self.what)
        self._manager.reload()


class _Preserved:
    """The newest checkpoints, and the best: an orbax preservation policy."""

    def __init__(self, num: int, best: Best):
        self._num, self._best = num, best

    def should_preserve(self, checkpoints, *, context) -> list[bool]:
        oldest = len(checkpoints) - self._num
        return [index >= oldest or each.step == self._best.done for index, each in enumerate(checkpoints)]


@contextmanager
def _said_once() -> Iterator[None]:
    """Keeps orbax from printing the tracebacks of what it raises as well, in threads of its own first."""
    is_other = lambda record: record.exc_info is None or "orbax" not in record.pathname
    log = logging.getLogger("absl")
    log.addFilter(is_other)
    try:
        yield
    finally:
        log.removeFilter(is_other)


def read_about(manager: Any, done: int) -> dict[str, Any]:
    """A checkpoint's JSON: its run's fingerprint, its state's dtypes and shapes, the records so far."""
    import orbax.checkpoint as ocp

    return manager.restore(done, args=ocp.args.Composite(**{ABOUT: ocp.args.JsonRestore()}))[ABOUT]


def check_state(what: str, about: Mapping[str, Any], shapes: Snapshot) -> None:
    """Raises PflError, array by array, unless a checkpoint holds such state."""
    check_same(what, about["state"], arrays.abouts(shapes), "name another folder")


def read_state(manager: Any, done: int, shapes: Snapshot) -> tuple:
    """(servers, clients) of a checkpoint, placed as `shapes` says."""
    import orbax.checkpoint as ocp

    asked = ocp.args.Composite(**{ARRAYS: arrays.wanted(shapes)})
    return arrays.state(shapes, manager.restore(done, args=asked)[ARRAYS])


def first(action: Callable[[], Any], what: str) -> None:
    """Process 0 does it. Raises what it raised there, and PflError in the others."""
    trouble: Exception | None = None
    if processes.is_first():
        try:
            action()
        except Exception as error:
            trouble = error
    if processes.anyone(trouble is not None):
        raise trouble or PflError(f"{what}: expected process 0 to take the folder, got an error there; see its message")
