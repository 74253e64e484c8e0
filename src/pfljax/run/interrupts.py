"""Ctrl-C and SIGTERM as requests to stop at a good place; a second Ctrl-C that cannot get lost."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SAID = b"\npfljax: stopping after this block; Ctrl-C again stops at once\n"


class Interrupts:
    """What has been asked for so far."""

    def __init__(self):
        self._can_save, self._is_asked, self._is_urgent = False, False, False
        self._before: dict[int, object] = {}

    def asked(self) -> bool:
        """Whether to stop after the current block."""
        return self._is_asked

    def check(self) -> None:
        """Raises KeyboardInterrupt if the run is to stop at once, again if need be.

        Python raises it wherever the main thread happens to be; inside a callback from compiled code it is dropped, and
        the run would go on.
        """
        if self._is_urgent:
            raise KeyboardInterrupt

    def can_save(self) -> None:
        """From here on the first Ctrl-C, and SIGTERM, are requests; before, Ctrl-C stops at once."""
        self._can_save = True
        if self._before and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            self._listen(signal.SIGTERM)

    def _listen(self, number: int) -> None:
        self._before[number] = signal.signal(number, self._note)

    def _unlisten(self) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)  # type: ignore[arg-type]

    def _note(self, number: int, frame) -> None:
        is_first = not self._is_asked
        self._is_asked = True
        if number == signal.SIGINT and not (self._can_save and is_first):
            self._is_urgent = True
            signal.default_int_handler(number, frame)
        if is_first:
            os.write(2, SAID)  # print may be in the middle of a line of its own


@contextmanager
def interrupts() -> Iterator[Interrupts]:
    """Listens while it is open. Does nothing outside the main thread, or where somebody else handles Ctrl-C."""
    made = Interrupts()
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        made._listen(signal.SIGINT)
    try:
        yield made
    finally:
        made._unlisten()
