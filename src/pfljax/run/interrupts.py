"""Ctrl-C that cannot get lost."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def interrupts() -> Iterator[Callable[[], None]]:
    """Yields a check that raises KeyboardInterrupt if Ctrl-C has been pressed within, again if need be.

    Python raises it wherever the main thread happens to be; inside a callback from compiled code it is dropped, and the
    run would go on. Does nothing outside the main thread, or where somebody else handles the signal.
    """
    pressed: list[int] = []

    def note(number, frame):
        pressed.append(number)
        signal.default_int_handler(number, frame)

    def check() -> None:
        if pressed:
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is not signal.default_int_handler:
        yield lambda: None
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
