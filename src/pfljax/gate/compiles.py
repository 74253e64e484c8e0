"""How often JAX traced and compiled."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from jax import monitoring

TRACED = "/jax/core/compile/jaxpr_trace_duration"
COMPILED = "/jax/core/compile/backend_compile_duration"


@dataclass
class Compiles:
    """Functions traced and programs compiled so far, anywhere in the process."""

    num_traces: int = 0
    num_compiles: int = 0


@contextmanager
def counted_compiles() -> Iterator[Compiles]:
    """Counts JAX's own events while it is open."""
    found = Compiles()

    def listen(event: str, duration_secs: float, **_: str | int) -> None:
        found.num_traces += event == TRACED
        found.num_compiles += event == COMPILED

    monitoring.register_event_duration_secs_listener(listen)
    try:
        yield found
    finally:
        monitoring.unregister_event_duration_listener(listen)
