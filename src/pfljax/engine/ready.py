"""From a job to a program that is ready to run, and the examples that its blocks need."""

import math
from dataclasses import dataclass, replace

import jax

from pfljax.data.memory import check_mapped
from pfljax.data.population import Population
from pfljax.engine.block import Carry
from pfljax.engine.job import Job, make_job
from pfljax.engine.keep import Kept, num_bytes
from pfljax.engine.place import Placed
from pfljax.engine.program import Program, clients_of
from pfljax.engine.stream import Stream
from pfljax.engine.width import Width, fit, fitting, is_exhausted, refusal, say_narrower
from pfljax.errors import PflError, whole
from pfljax.plan import Plan
from pfljax.plan.deal import capacity
from pfljax.types import Algorithm

MAX_ROUNDS = 100  # a plan has room for as many, so that blocks of any length share one program
SLACK = 0.25  # of rows, for rounds that need more than the first
STREAMED_BYTES = 2**28  # of a block's examples on one device, more only if a single round needs more
LENT_BYTES = (
    2**26
)  # of a block's client state on one device, where it lives on the host: all of them travel, however short the block


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
    program = Program(job, width, why, max_rounds, _num_kept(job, max_rounds), num_sent=0)
    first = job.planner(width).block(0, 1, 1)
    program = replace(program, num_sent=_num_sent(program, program.most_sent(first)))
    if job.examples == "resident":
        return program
    stream = Stream.of(job.population, job.mesh)
    most = STREAMED_BYTES // max(1, stream.row_bytes)
    num_rows = min(max(most, _with_slack(stream.num_rows(clients_of(first)))), job.population.num_rows)
    return replace(program, num_rows=num_rows, stream=stream)


def _num_sent(program: Program, needed: int) -> int:
    """Rows of state between two devices: what a round needs and some more, at most a whole device's slots."""
    slots = capacity(program.job.num_lanes, program.mesh.size, program.width) * program.width
    return min(needed + max(1, needed // 8), slots)


def _num_kept(job: Job, max_rounds: int) -> int:
    """Rows of client state on the devices: all, or where it lives on the host as many as a block can need."""
    if job.state == "device":
        return job.num_kept
    per_client = num_bytes(job.shapes(1).clients) // job.mesh.size  # padded to one client a device
    most = max(LENT_BYTES * job.mesh.size // max(1, per_client), job.num_lanes)
    return min(most, max_rounds * job.num_lanes, job.num_kept)


def started(job: Job, width: Width, max_rounds: int) -> tuple[Carry, "Feed"]:
    """The state before the first round, and what feeds blocks to it. All is compiled, and has run for no round.

    A device that runs out of memory only now gets half the width, and a warning says so.
    """
    make = lambda width, why: make_program(job, width, why, max_rounds)
    program = fit(make, job, width)
    kept = Kept.fresh(job.shapes(job.num_kept).clients) if job.state == "host" else None
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

    def block(self, first_round: int, num_rounds: int) -> tuple[Plan, Placed]:
        """The plan of at most `num_rounds` rounds, fewer if their examples are too many, and those examples.

        Raises PflError if a memory-mapped file has shrunk.
        """
        plan = self.program.plan(first_round, num_rounds)
        while self.kept and len(self.program.owners(plan)) > self.program.num_kept:  # never of a single round
            plan = self.program.plan(first_round, plan.num_rounds // 2)
        if (needed := self.program.most_sent(plan)) > self.program.num_sent:
            self._enlarge(first_round, "kept state", num_sent=_num_sent(self.program, needed))
        if self.placed is not None:
            for name, array in self.program.job.population.arrays.items():
                check_mapped(name, array)
            return plan, self.placed
        stream = self.program.stream
        assert stream is not None
        while (needed := stream.num_rows(clients_of(plan))) > self.program.num_rows and plan.num_rounds > 1:
            plan = self.program.plan(first_round, plan.num_rounds // 2)
        if needed > self.program.num_rows:
            num_rows = min(_with_slack(needed), self.program.job.population.num_rows)
            self._enlarge(first_round, "examples", num_rows=num_rows)
        return plan, self.program.gather(plan)

    def _enlarge(self, round: int, what: str, **sizes: int) -> None:
        """A round needs more than was foreseen: a larger program from here on."""
        self.program = replace(self.program, **sizes)
        if (trouble := refusal(self.program)) is not None:
            raise PflError(f"round {round}: expected its {what} to fit, got {trouble}; use fewer clients a round")

    def lend(self, carry: Carry, plan: Plan) -> Carry:
        """The carry with the state of the plan's clients, where it lives on the host."""
        if self.kept is None:
            return carry
        return carry._replace(clients=self.kept.lend(self.program.owners(plan), self._padded, self.program.mesh))

    def take_back(self, carry: Carry, plan: Plan) -> None:
        """Stores what has become of that state."""
        if self.kept is not None:
            self.kept.take_back(self.program.owners(plan), carry.clients, self._padded, self.program.mesh)

    @property
    def _padded(self) -> int:
        """Rows of client state on all devices together."""
        return -(-self.program.num_kept // self.program.mesh.size) * self.program.mesh.size
