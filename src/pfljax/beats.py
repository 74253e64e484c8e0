"""What processes say about themselves while they live, and what silence means."""

from collections.abc import Mapping
from typing import NamedTuple

LEFT_SECONDS = 240.0  # that the others may go on for after one has ended well; JAX ends them after 300


class Beat(NamedTuple):
    """What a process says about itself. moved: grows as long as it lives; every: seconds between beats."""

    moved: int
    host: str
    pid: int
    every: float
    has_left: bool = False


class Seen(NamedTuple):
    """A process's last beat and when it moved; None if there was none yet."""

    beat: Beat | None
    at: float

    @property
    def has_left(self) -> bool:
        return self.beat is not None and self.beat.has_left


def silent(seen: Mapping[int, Seen], answered: float, now: float, patience: float) -> tuple[int, ...]:
    """The processes that have not been heard of for longer than `patience`.

    answered: when the store last did; if that is too long ago nothing is known but that process 0, where it lives,
    is silent. A process that has left is not expected to be heard of, for LEFT_SECONDS.
    """
    if now - answered > patience:
        return (0,)
    allowed = {process: LEFT_SECONDS if each.has_left else patience for process, each in seen.items()}
    return tuple(process for process, each in sorted(seen.items()) if answered - each.at > allowed[process])


def named(processes: tuple[int, ...], seen: Mapping[int, Seen], num_processes: int) -> str:
    """E.g. `process 1 of 3 (host, pid 17)`, with the words of all that are given."""

    def name(process: int) -> str:
        beat = seen[process].beat if process in seen else None
        return f"process {process} of {num_processes}" + (f" ({beat.host}, pid {beat.pid})" if beat else "")

    return " and ".join(map(name, processes))


def described(processes: tuple[int, ...], seen: Mapping[int, Seen], num_processes: int, seconds: float) -> str:
    """A sentence about processes that are silent."""
    known = [seen[each] for each in processes if each in seen]
    if known and all(each.has_left for each in known):
        return f"{named(processes, seen, num_processes)} ended, and this one still waits or works"
    return f"{named(processes, seen, num_processes)} died or hangs, not heard of for {seconds:.0f} s"
