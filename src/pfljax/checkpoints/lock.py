"""One run at a time in a folder. The kernel lets go of the lock when its process ends, however it ends."""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from pfljax.errors import PflError

NAME = ".lock"


@contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Holds a folder that is there. what: the option or field that named it, for the message.

    Raises PflError, with who holds it, if another process does, or this one already.
    """
    try:
        file = os.open(folder / NAME, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise PflError(f"{what}: expected a folder that can be written to, got {str(folder)!r}: {error}") from error
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PflError(
                f"{what}: expected a folder that no other run is using, got {str(folder)!r}, in use {_holder(file)}; "
                "wait until that run has ended, or stop it"
            ) from error
        about = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now().astimezone().isoformat(timespec="seconds"),
        }
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(about).encode(), 0)
        yield
        os.ftruncate(file, 0)
    finally:
        os.close(file)


def _holder(file: int) -> str:
    try:
        about = json.loads(os.pread(file, 4096, 0))
        return f"by process {about['pid']} on {about['host']} since {about['since']}"
    except (ValueError, KeyError, TypeError):  # it has just been opened
        return "by a process that has not said its name"
