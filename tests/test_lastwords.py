"""Programs of plain Python that end in every way there is: what they know of it at their end is how they did."""

import subprocess
import sys

import pytest

from pfljax import lastwords

# Read from its file, for pfljax would bring JAX along.
PROGRAM = f"""
import atexit, contextlib, runpy, sys, threading
ended_by = runpy.run_path({lastwords.__file__!r})["note_exits"]()
atexit.register(lambda: print(*ended_by()))
"""
CAUGHT = """
try: sys.exit(3)
except SystemExit: pass
"""
FAR = """
def leave(): sys.exit(3)
def catch():
    try: leave()
    except SystemExit{then}
"""
MANAGED = """
@contextlib.contextmanager
def caught():
    try: yield
    except SystemExit: pass
with caught(): sys.exit(3)
"""


def end(program: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", PROGRAM + program], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("sys.exit(3)", 3),
        ("sys.exit('no')", 1),
        ("(lambda: sys.exit(4))()", 4),
        ("try: sys.exit(3)\nfinally: len('')", 3),
        ("try: sys.exit(3)\nexcept BaseException:\n    len('')\n    raise", 3),
        ("with contextlib.suppress(OSError): sys.exit(9)", 9),
        ("list(sys.exit(2) for _ in range(3))", 2),
        (CAUGHT + "sys.exit(5)", 5),
        (FAR.format(then=": raise") + "catch()", 3),
        ("1 / 0", 1),
        (CAUGHT + "1 / 0", 1),
    ],
)
def test_a_bad_end(program, code):
    """With the code that Python itself ends with."""
    made = end(program)
    assert made.returncode == code, made
    assert made.stdout.endswith(f" {code}\n"), made
    assert not made.stdout.startswith("None")


@pytest.mark.parametrize(
    "program",
    [
        "pass",
        "sys.exit()",
        "sys.exit(0)",
        CAUGHT,
        CAUGHT + "sys.exit(0)",
        FAR.format(then=": pass") + "catch()",
        FAR.format(then=": raise ValueError") + "with contextlib.suppress(ValueError): catch()",
        "with contextlib.suppress(SystemExit): sys.exit(9)",
        MANAGED,
        "other = threading.Thread(target=sys.exit, args=(7,)); other.start(); other.join()",
    ],
)
def test_a_good_end(program):
    """Even if something wanted to exit on the way."""
    made = end(program)
    assert made.returncode == 0, made
    assert made.stdout in ("None 0\n", " 0\n", "0 0\n"), made


def test_ctrl_c():
    assert end("raise KeyboardInterrupt").stdout == f" {lastwords.INTERRUPTED}\n"
