"""Programs that are run by several processes on loopback, for tests."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "scripts"))

from launch_local import environment, free_port  # noqa: E402


class Ended(NamedTuple):
    """What a process left. returncode: negative for the signal that ended it; -9 too if it had to be stopped."""

    returncode: int
    stdout: str
    stderr: str


class Running(NamedTuple):
    """A process, and the files that its output goes to."""

    process: subprocess.Popen
    stdout: Path
    stderr: Path

    def said(self, text: str, timeout: float = 60.0) -> bool:
        """Waits until `text` is in what was written, or the process has ended; whether it is."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            has_ended = self.process.poll() is not None
            if text in self.stdout.read_text() + self.stderr.read_text():
                return True
            if has_ended:
                return False
            time.sleep(0.05)
        return False

    def ended(self, timeout: float) -> Ended:
        """Waits for the end, at most so many seconds; then kills."""
        try:
            self.process.wait(max(0.0, timeout))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        return Ended(self.process.returncode, self.stdout.read_text(), self.stderr.read_text())


@contextmanager
def running(
    program: str | Sequence[str], num_processes: int, num_devices: int = 1, env: Mapping[str, str] | None = None
) -> Iterator[list[Running]]:
    """Starts `program`, Python source or the words of a command, `num_processes` times; kills what is left at the end.

    env: added to the environment of all.
    """
    words = [sys.executable, "-c", program] if isinstance(program, str) else list(program)
    port, started = free_port(), []
    with tempfile.TemporaryDirectory(prefix="pfljax-processes-") as folder:
        try:
            for index in range(num_processes):
                own = environment(index, num_processes, port, num_devices)
                paths = [Path(folder, f"{index}.{name}") for name in ("stdout", "stderr")]
                with open(paths[0], "wb") as stdout, open(paths[1], "wb") as stderr:
                    process = subprocess.Popen(
                        words, stdout=stdout, stderr=stderr, env=os.environ | own | dict(env or {}), cwd=ROOT
                    )
                started.append(Running(process, *paths))
            yield started
        finally:
            for each in started:
                each.process.kill()
                each.process.wait()


def kept_programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which what has been compiled once is read by all that starts later in this test session."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "programs"
    return {
        "JAX_COMPILATION_CACHE_DIR": str(folder),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }


def launched(
    program: str | Sequence[str],
    num_processes: int,
    num_devices: int = 1,
    timeout: float = 120.0,
    env: Mapping[str, str] | None = None,
) -> list[Ended]:
    """Runs `program` as `running` does and returns how each process ended, in their order."""
    end = time.monotonic() + timeout
    with running(program, num_processes, num_devices, env) as started:
        return [each.ended(end - time.monotonic()) for each in started]
