"""What a section is given, what it yields, and what becomes of one that fails or comes too late."""

import sys
import time
import traceback
from collections.abc import Callable, Generator
from typing import Any, NamedTuple

from jax.sharding import Mesh


class Machine(NamedTuple):
    """Where to run: one accelerator and one CPU; sizes for tests if `is_tiny`; seconds that one figure is timed for."""

    device: Mesh
    host: Mesh
    is_tiny: bool

    @property
    def seconds(self) -> float:
        return 0.02 if self.is_tiny else 0.7


class Row(NamedTuple):
    """One line of the report. is_good: None where there is nothing to judge; facts: numbers for the JSON file."""

    what: str
    found: str
    is_good: bool | None = None
    facts: dict[str, Any] = {}  # noqa: RUF012 (nobody writes into it)


Section = Callable[[Machine], Generator[Row]]


def failed(what: str, error: Exception) -> Row:
    text = "".join(traceback.format_exception(error))
    print(text, file=sys.stderr, flush=True)
    return Row(what, f"failed: {type(error).__name__}: {error}".splitlines()[0][:300], False, {"traceback": text})


def guarded(sections: dict[str, Section], machine: Machine, seconds: float) -> Generator[tuple[str, Row]]:
    """(section, row) of all sections while there is time; a failure is a row, and so is what was left out."""
    begin = time.perf_counter()
    is_late = lambda: time.perf_counter() - begin > seconds
    for name, section in sections.items():
        if is_late():
            yield name, Row("all of it", f"left out: {seconds:.0f} s are over")
            continue
        rows = section(machine)
        try:
            for row in rows:
                yield name, row
                if is_late():
                    yield name, Row("the rest", f"left out: {seconds:.0f} s are over")
                    break
        except Exception as error:
            yield name, failed("all that follows", error)
        finally:
            rows.close()
