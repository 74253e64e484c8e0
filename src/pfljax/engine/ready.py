"""From a job to a program that is ready to run, and the examples that its blocks need."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from pfljax.data.memory import check_mapped
from pfljax.data.population import Population
from pfljax.engine.block import Carry
from pfljax.engine.job import Job, make_job
from pfljax.engine.keep import Kept
from pfljax.engine.memory import num_bytes
from pfljax.engine.place import Placed
from pfljax.engine.program import Program, clients_of
from pfljax.engine.shelf import Clients, filled, in_order
from pfljax.engine.stream import Stream
from pfljax.engine.width import Width, fit, fitting, is_exhausted, refusal, say_narrower
from pfljax.errors import PflError, whole
from pfljax.plan import Plan
from pfljax.types import Algorithm

MAX_ROUNDS = 100  # a plan has room for as many, so that blocks of any length share one program
SLACK = 0.25  # of rows, for rounds that need more than the first
PEEK = 16  # rounds whose plans say how many rows of kept state travel
STREAMED_BYTES = 2**28  # of a block's examples on one device, more only if a single round needs more
LENT_BYTES = 2**26  # of a block's client state on one device, if hosts keep it: all travel, however short the block


def prepare(algorithm: Algorithm, population: Population, *, seed=0, width: Width = "auto", **arguments) -> Program:
    """The program that `pfl.rounds` with these arguments would run, compiled, for it is weighed; it trains nothing.

    What `pfljax plan` and the performance gate look at. Raises PflError for what cannot run, or would not fit.
    """
    check_width(width)
    job = make_job(algorithm, population, seeds=[seed], **arguments)
    return fit(lambda width, why: make_program(job, width, why, MAX_ROUNDS), job, width)


def check_width(width: Width) -> None:
    if width not in ("auto", "measure"):
        if isinstance(width, str):
            raise PflError(f"width: expected a whole number, 'auto' or 'measure', got {width!r}")
        whole("width", width)


def make_program(job: Job, width: int, why: str, max_rounds: int) -> Program:
    """The program of a width. A streamed one holds rows for about `STREAMED_BYTES`, and for one round at least."""
    program = Program(job, width, why, max_rounds, job.num_kept)
    planner = job.planner(width)
    if job.keeps:
        program = replace(program, num_sent=_num_sent(program.most_sent(planner.block(0, PEEK, PEEK))))
    first = planner.block(0, 1, 1)
    if job.state == "host":
        program = replace(program, num_kept=_num_kept(job, max_rounds, program.most_lent(first)))
    if job.examples == "resident":
        return program
    stream = Stream.of(job.population, job.mesh)
    most = STREAMED_BYTES // max(1, stream.row_bytes)
    num_rows = min(max(most, _with_slack(stream.num_rows(clients_of(first)))), job.population.num_rows)
    return replace(program, num_rows=num_rows, stream=stream)


def _num_sent(needed: tuple[int, ...]) -> tuple[int, ...]:
    """Places for rows of state between two peers: what rounds need and some more."""
    return tuple(each + max(1, each // 8) for each in needed)


def _num_kept(job: Job, max_rounds: int, needed: int) -> int:
    """Rows of client state that are lent to the devices: as many as a block can need, about `LENT_BYTES` on each.

    needed: for a round, on one device
    """
    per_client = num_bytes(job.clients(1)) // job.mesh.size  # padded to one client a device
    most = max(LENT_BYTES // max(1, per_client), min(_with_slack(needed), job.num_lanes))
    return job.mesh.size * min(most, max_rounds * job.num_lanes, job.num_kept_here)


def started(job: Job, width: Width, max_rounds: int) -> tuple[Carry, "Feed"]:
    """The state before the first round, and what feeds blocks to it. All is compiled, and has run for no round.

    A device that runs out of memory only now gets half the width, and a warning says so.
    """
    make = lambda width, why: make_program(job, width, why, max_rounds)
    program = fit(make, job, width)
    kept = Kept.fresh(job.clients(job.num_kept), job.mesh) if job.state == "host" else None
    while True:
        try:
            feed = Feed(program, program.place(), kept)
            plan, placed = feed.block(0, 0)
            carry, _, _ = jax.block_until_ready(program.run(program.begin(), placed, plan))
            return carry, feed
        except jax.errors.JaxRuntimeError as error:
            if not is_exhausted(error):
                raise
            if program.width == 1:
                message = " ".join(str(error).split())[:200]
                raise PflError(f"memory: expected one client at a time to fit, got {message}") from error
            asked = program.width
        # Outside, where nothing of the failed attempt is held any more.
        feed = placed = None
        say_narrower(asked, "out of memory", asked // 2)
        program = fitting(make, asked // 2, f"{asked} ran out of memory")


def _with_slack(num_rows: int) -> int:
    return math.ceil((1 + SLACK) * num_rows)


@dataclass
class Feed:
    """Plans, and what they need. placed: all examples, or None if each block brings its own; kept: so for state."""

    program: Program
    placed: Placed | None
    kept: Kept | None

    def __post_init__(self):
        self._gathered: Clients | None = None  # state for the block that was asked for last
        self._changed = np.zeros(0, np.int64)  # whose state may have changed since it was gathered

    def block(self, first_round: int, num_rounds: int) -> tuple[Plan, Placed]:
        """The plan of at most `num_rounds` rounds, fewer if their examples or state are too many, and those examples.

        Raises PflError if a memory-mapped file has shrunk.
        """
        plan = self.program.plan(first_round, num_rounds)
        if self.kept is not None:
            plan = self._halved(plan, self.program.most_lent, self.program.num_kept_here)
            if (needed := self.program.most_lent(plan)) > self.program.num_kept_here:
                num_here = min(_with_slack(needed), self.program.job.num_kept_here)
                self._enlarge(first_round, "kept state", num_kept=num_here * self.program.mesh.size)
        sent = self.program.num_sent
        if (most := tuple(map(max, self.program.most_sent(plan), sent))) != sent:
            self._enlarge(first_round, "kept state", num_sent=_num_sent(most))
        if self.placed is None:
            stream = self.program.stream
            assert stream is not None
            num_rows = lambda plan: stream.num_rows(clients_of(plan))
            plan = self._halved(plan, num_rows, self.program.num_rows)
            if (needed := num_rows(plan)) > self.program.num_rows:
                most_rows = min(_with_slack(needed), self.program.job.population.num_rows)
                self._enlarge(first_round, "examples", num_rows=most_rows)
        if self.kept is not None:
            self._gathered = self.kept.gathered(self.program.owners(plan), self.program.num_kept_here)
        if self.placed is None:
            return plan, self.program.gather(plan)
        for name, array in self.program.job.population.arrays.items():
            check_mapped(name, array)
        return plan, self.placed

    def _halved(self, plan: Plan, needed: Callable[[Plan], int], most: int) -> Plan:
        """The plan, of fewer rounds if it needs more than there is; of one at least."""
        while plan.num_rounds > 1 and needed(plan) > most:
            plan = self.program.plan(plan.first_round, plan.num_rounds // 2)
        return plan

    def _enlarge(self, round: int, what: str, **sizes: Any) -> None:
        """A round needs more than was foreseen: a larger program from here on."""
        held = self.program.device_bytes
        self.program = replace(self.program, **sizes)
        if (trouble := refusal(self.program, held)) is not None:
            raise PflError(f"round {round}: expected its {what} to fit, got {trouble}; use fewer clients a round")

    def lend(self, carry: Carry, plan: Plan) -> Carry:
        """The carry with the state of the clients of the plan that was asked for last, where it lives on the host."""
        if self.kept is None:
            return carry
        assert self._gathered is not None
        program, shelf = self.program, carry.shelf
        lent = self.kept.lend(self._gathered, program.owners(plan), self._changed, program.num_kept_here)
        self._gathered = None
        if len(shelf.place) != len(lent.visited):
            shelf = program.job.shelf(program.num_kept, program.num_slots)
        return carry._replace(shelf=filled(shelf, lent, mesh=program.mesh))

    def take_back(self, carry: Carry, plan: Plan) -> None:
        """Stores what has become of that state."""
        if self.kept is not None:
            self._changed = self.program.owners(plan)
            num_lent = len(carry.shelf.place) // self.program.mesh.size
            self.kept.take_back(self._changed, in_order(carry.shelf, mesh=self.program.mesh), num_lent)
