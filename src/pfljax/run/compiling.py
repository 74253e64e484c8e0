"""How long JAX traced, lowered and compiled."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from jax import monitoring


@dataclass
class CompileTime:
    """Seconds in which something was being compiled; overlapping spans count once."""

    spans: list[tuple[float, float]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        total, until = 0.0, float("-inf")
        for begin, end in sorted(self.spans):
            total += max(0.0, end - max(begin, until))
            until = max(until, end)
        return total


@contextmanager
def compile_time() -> Iterator[CompileTime]:
    """Listens to JAX's own compile events while it is open."""
    found = CompileTime()

    def listen(event: str, duration_secs: float, **_: str | int):
        if event.startswith("/jax/core/compile/"):
            now = time.perf_counter()
            found.spans.append((now - duration_secs, now))

    monitoring.register_event_duration_secs_listener(listen)
    try:
        yield found
    finally:
        monitoring.unregister_event_duration_listener(listen)
