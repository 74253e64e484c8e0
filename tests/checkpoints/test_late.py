"""What is left of a failed save ends unsaid."""

import subprocess
import sys

LEFT = """
import asyncio, sys, threading
import tensorstore
from pfljax.checkpoints import late

{before}
promise, write = tensorstore.Promise.new()

async def saved():
    async def written():
        await write

    async def failed():
        raise OSError("full")

    await asyncio.gather(written(), failed())

loop = asyncio.new_event_loop()
try:
    loop.run_until_complete(saved())
except OSError:
    loop.close()
ended = threading.Thread(target=lambda: promise.set_result(1))
ended.start()
ended.join()
"""
SHOWN = "sys.unraisablehook = lambda raised: print(raised.exc_type.__name__, raised.exc_value); late.leave_unsaid()"
RAISED = """
class Another:
    def __del__(self):
        raise {error}

another = Another()
del another
"""


def ended(before: str = "", after: str = "") -> tuple[str, str, int]:
    """(stdout, stderr, exit code) of a process in which a write ends after its loop was closed."""
    code = LEFT.format(before=before) + after
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    return done.stdout, done.stderr, done.returncode


def test_the_rest_of_a_failed_save():
    assert ended(before="late.leave_unsaid(); late.leave_unsaid()") == ("", "", 0)


def test_a_store_leaves_it_unsaid(tmp_path):
    opened = f"from pfljax.checkpoints import Checkpoints, store; store.Store(Checkpoints({str(tmp_path)!r}), {{}})"
    assert ended(f"{opened}.wait()") == ("", "", 0)


def test_tensorstore_prints_it():
    """When it no longer does, `late` can go."""
    out, err, code = ended()
    assert (out, code) == ("", 0)
    assert err.startswith("Traceback")
    assert err.endswith("RuntimeError: Event loop is closed\n")


def test_all_else_is_shown():
    """Other errors that nobody can catch, the same one where it has an object, and what ends the process."""
    assert ended(SHOWN, RAISED.format(error="OSError('full')")) == ("OSError full\n", "", 0)
    same = "RuntimeError('Event loop is closed')"
    assert ended(SHOWN, RAISED.format(error=same)) == ("RuntimeError Event loop is closed\n", "", 0)
    out, err, code = ended(SHOWN, f"raise {same}")
    assert (out, code) == ("", 1)
    assert err.endswith("RuntimeError: Event loop is closed\n")
