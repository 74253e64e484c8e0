"""The driver's end of the conversation with a contestant: one process, one line of JSON each way."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

THREAD_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
FOLDER = Path(__file__).parent


class Failed(Exception):
    """A contestant that could not do what it was asked; the text says why."""


class Unable(Exception):
    """A contestant that does not do this kind of work; the text says what is lacking."""


@dataclass
class Contestant:
    """A running contestant: its process is stopped (SIGSTOP) whenever it is not answering.

    module: in `peers.contestants`; variant: its argument; num_threads: for its libraries' thread pools. The cores it
    may run on are those of the driver.
    """

    module: str
    variant: str
    python: Path
    num_threads: int
    log: Path
    peak_bytes: int = 0
    _process: subprocess.Popen = field(init=False, repr=False)
    _lines: queue.Queue = field(init=False, repr=False, default_factory=queue.Queue)

    def __post_init__(self):
        environment = os.environ | {name: str(self.num_threads) for name in THREAD_LIMITS}
        paths = filter(None, [str(FOLDER.parent), os.environ.get("PYTHONPATH")])
        environment |= {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1", "JAX_PLATFORMS": "cpu"}
        with self.log.open("w") as errors:
            self._process = subprocess.Popen(
                [str(self.python), "-P", "-m", f"peers.contestants.{self.module}", self.variant],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment,
                start_new_session=True,
            )
        threading.Thread(target=self._read, daemon=True).start()

    def ask(self, command: dict, timeout: float, is_watched: bool = False) -> dict:
        """The reply to a command. `is_watched` also samples the memory of all its processes meanwhile.

        Raises Failed if it reports an error, ends, or does not answer in time (it is ended then).
        """
        self._signal(signal.SIGCONT)
        try:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
            reply = self._wait(time.monotonic() + timeout, is_watched)
        except BrokenPipeError:
            raise Failed(self._last_words()) from None
        finally:
            self._signal(signal.SIGSTOP)
        self.peak_bytes = max(self.peak_bytes, reply["peak_bytes"])
        if not reply.get("is_able", True):
            raise Unable(reply["error"].partition(": ")[2])
        if "error" in reply:
            raise Failed(f"{reply['error']} (log: {self.log})")
        return reply

    def close(self) -> None:
        """Ends the process and whatever it started."""
        for which in (signal.SIGCONT, signal.SIGTERM):
            self._signal(which)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def _wait(self, deadline: float, is_watched: bool) -> dict:
        while True:
            try:
                line = self._lines.get(timeout=0.5 if is_watched else max(0.1, deadline - time.monotonic()))
            except queue.Empty:
                if is_watched:
                    self.peak_bytes = max(self.peak_bytes, memory(self._process.pid))
                if time.monotonic() > deadline:
                    self._signal(signal.SIGKILL)
                    raise Failed(f"no answer in time (log: {self.log})") from None
                continue
            if line is None:
                raise Failed(self._last_words())
            return json.loads(line)

    def _read(self) -> None:
        with self._process.stdout as replies:
            for line in replies:
                self._lines.put(line)
        self._lines.put(None)

    def _last_words(self) -> str:
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        code = self._process.wait()
        return f"ended with code {code}: {lines[-1] if lines else 'without a word'} (log: {self.log})"

    def _signal(self, which: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, which)


def memory(pid: int) -> int:
    """Bytes that a process and its descendants hold, shared pages counted once among them."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it ended meanwhile
            children.setdefault(parent, []).append(int(folder.name))
    total, family = 0, [pid]
    while family:
        member = family.pop()
        family += children.get(member, [])
        try:
            lines = Path(f"/proc/{member}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total
