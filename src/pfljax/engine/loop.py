"""Rounds as a Python generator of blocks: plans, dispatches, hands out what was recorded."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import jax
import numpy as np

from pfljax import aggregate, keys, processes
from pfljax.data.population import Population
from pfljax.engine.block import Carry
from pfljax.engine.collect import Block, Stopped, figures, records
from pfljax.engine.devices import on_host, replicated
from pfljax.engine.job import Examples, Job, make_job
from pfljax.engine.keep import Kept, State
from pfljax.engine.place import copied
from pfljax.engine.program import Program
from pfljax.engine.ready import MAX_ROUNDS, check_width, started
from pfljax.engine.remarks import remark
from pfljax.engine.result import Diverged, Result
from pfljax.engine.round import OnNonfinite
from pfljax.engine.runs import pick
from pfljax.engine.shelf import in_order
from pfljax.engine.snapshot import Resume, resumed, taken
from pfljax.engine.width import Width
from pfljax.errors import PflError, whole
from pfljax.plan import Plan
from pfljax.types import Algorithm, Tree, Vars
from pfljax.upload import Transform

BLOCK_SECONDS = 2.0  # a block's length in time, so that progress, interrupts and preemptions are met soon
BlockLength = int | Literal["auto"]


def rounds(
    algorithm: Algorithm,
    population: Population,
    *,
    cohort: int,
    rounds: int,
    seed: int | keys.Seeds = 0,
    unseen: float = 0.2,
    params: Vars | Tree | None = None,
    upload: Transform | None = None,
    devices: int | None = None,
    width: Width = "auto",
    block: BlockLength = "auto",
    pause_every: int | None = None,
    on_nonfinite: OnNonfinite = "stop",
    reduction: aggregate.Kind = "fast",
    examples: Examples | Literal["auto"] = "auto",
    state: State | Literal["auto"] = "auto",
    resume: Resume | None = None,
) -> Iterator[Block]:
    """Runs `rounds` rounds of `cohort` clients and yields them block by block.

    seed:    one integer, or `pfl.Seeds(split, sampling, model)`
    unseen:  the share of clients that is never trained on
    params:  where to start instead of model.init: a `Vars`, or a tree of params
    upload:  what happens to each client's upload before it is summed, e.g. `pfl.upload.clip(1.0)`
    devices: how many to use (None: all)
    width:   clients side by side on one device; "auto" takes a rule on CPUs and measures elsewhere, "measure" measures.
             A width that does not fit into memory is halved until it does, with a warning
    block:   rounds a dispatch; "auto" aims at two seconds. pause_every: no block runs past a multiple of it
    on_nonfinite: "stop" raises `Diverged`, with the result so far; "drop" leaves such updates out of the sum
    reduction: "fast" sums floats; "ordered" sums integers: the same bits on any number of devices, at one width
    examples: "resident" on the devices, or "streamed" from the host's memory or files; "auto" streams what is too large
    state:   what clients keep lives on the "device", or on the "host" and visits the devices block by block; "auto"
             takes the host for what is too large. `pfl.local.stateless` keeps none
    resume:  given the shapes of a `Snapshot`, returns one with what `Block.snapshot` gave; the run goes on from there.
             Yields an empty block if all rounds had been run

    Raises PflError for arguments outside these, before anything runs.
    """
    blocks = sweep(
        algorithm,
        population,
        rounds=rounds,
        seeds=[seed],
        width=width,
        block=block,
        pause_every=pause_every,
        cohort=cohort,
        unseen=unseen,
        params=params,
        upload=upload,
        devices=devices,
        on_nonfinite=on_nonfinite,
        reduction=reduction,
        examples=examples,
        state=state,
        resume=resume,
    )
    return _single(blocks)


def sweep(
    algorithm: Algorithm,
    population: Population,
    *,
    rounds: int,
    seeds: Sequence[int | keys.Seeds],
    hyper: Mapping[str, Sequence[float]] | None = None,
    width: Width = "auto",
    block: BlockLength = "auto",
    pause_every: int | None = None,
    resume: Resume | None = None,
    **arguments: Any,
) -> Iterator[tuple[Block, ...]]:
    """Several runs in one program, the clients of all side by side: yields one block of each run at a time.

    seeds: as `seed` of `rounds`; hyper: {name: values} of the algorithm's scalars, the first values together, then the
    second, and so on. Every such setting is run with every seed, the first setting's seeds first.
    arguments: those of `rounds`.

    A run that diverges moves no more and gets no more records; its result says so in `diverged`.
    """
    rounds = whole("rounds", rounds)
    check_width(width)
    if block != "auto":
        whole("block", block)
    if pause_every is not None:
        whole("pause_every", pause_every)
    job = make_job(algorithm, population, seeds=seeds, hyper=hyper, **arguments)
    if resume is not None and len(job.runs) > 1:
        raise PflError(f"resume: expected a single run, got {len(job.runs)} side by side; run them one by one")
    remark(job)
    return _run(job, rounds, width, block, pause_every, resume)


def _single(blocks: Iterator[tuple[Block, ...]]) -> Iterator[Block]:
    """The blocks of an only run; raises if it diverged."""
    for (made,) in blocks:
        if made.num_rounds or made.stopped is None:
            yield made
        if made.stopped is not None:
            raise Diverged(made.stopped.round, made.stopped.client_ids, made.result(), made.stopped.message)


def _run(
    job: Job, num_rounds: int, width: Width, block: BlockLength, pause_every: int | None, resume: Resume | None
) -> Iterator[tuple[Block, ...]]:
    begin = time.perf_counter()
    max_rounds = MAX_ROUNDS if isinstance(block, str) else max(MAX_ROUNDS, block)
    carry, feed = started(job, width, max_rounds)
    compile_seconds = time.perf_counter() - begin

    log = [_Log(job, run) for run in range(len(job.runs))]
    done, size = 0, 1 if isinstance(block, str) else block
    if resume is not None:
        carry, feed.kept, done, log[0].records = resumed(job, carry, feed.kept, resume, num_rounds)
    room = lambda: min(size, num_rounds - done, pause_every - done % pause_every if pause_every else size)
    upcoming = feed.block(done, room())
    while True:
        begin = time.perf_counter()
        (plan, placed), program = upcoming, feed.program
        carry, info, server_info = program.run(feed.lend(carry, plan), placed, plan)
        done += plan.num_rounds
        # The next plan is made, and its examples are fetched, while the devices work; its size follows their speed.
        trouble = None
        if done < num_rounds:
            try:
                upcoming = feed.block(done, room())
            except PflError as error:  # of the next block: this one is still to be handed out
                trouble = error
        jax.block_until_ready(carry)
        feed.take_back(carry, plan)
        seconds = processes.agreed(time.perf_counter() - begin)
        if block == "auto":
            size = max(1, min(max_rounds, math.floor(BLOCK_SECONDS * plan.num_rounds / (seconds + 1e-9)), 4 * size))
        info, server_info = on_host((info, server_info))
        timing = (seconds, compile_seconds)
        yield tuple(each.add(program, plan, carry, feed.kept, info, server_info, timing) for each in log)
        compile_seconds = 0.0
        if done == num_rounds or all(each.stopped for each in log):
            return
        if trouble is not None:
            raise trouble


class _Log:
    """The records of one run so far, and where it stopped if it did."""

    def __init__(self, job: Job, run: int):
        self.job, self.run = job, run
        self.records: list[dict] = []
        self.stopped: Stopped | None = None

    def add(
        self,
        program: Program,
        plan: Plan,
        carry: Carry,
        kept: Kept | None,
        info,
        server_info,
        timing: tuple[float, float],
    ) -> Block:
        """This run's part of a block that has been executed."""
        population, num = self.job.population, plan.num_rounds
        rows, infos, server_infos = figures(plan, info, server_info, self.run)
        halted = int(on_host(carry.halted)[self.run])
        if halted >= 0:
            num = max(0, halted - plan.first_round)
            if self.stopped is None:
                # Where such updates are dropped, they are not what stopped the run.
                is_blamed = ~infos["finite"][num] & (self.job.on_nonfinite == "stop")
                ids = tuple(population.ids[row] for row in rows[num][is_blamed])
                self.stopped = Stopped(halted, ids, self.job.reduction)
        made = records(plan.first_round, rows, infos, server_infos, population, rows.size / timing[0])
        self.records += made[:num]
        later = partial(
            _result, self.job, self.run, carry, kept, self.records, len(self.records), self.stopped, program.width
        )
        end, num_records = plan.first_round + plan.num_rounds, len(self.records)
        snapshot = lambda: taken(self.job, carry, kept, end, tuple(self.records[:num_records]))
        return Block(
            first_round=plan.first_round,
            num_rounds=plan.num_rounds,
            rows=rows,
            info=infos,
            server_info=server_infos,
            records=tuple(made),
            seconds=timing[0],
            compile_seconds=timing[1],
            wasted=plan.wasted(),
            width=program.width,
            why=program.why,
            stopped=self.stopped,
            _result=later,
            _snapshot=snapshot,
        ).first(num)


def _result(
    job: Job,
    run: int,
    carry: Carry,
    kept: Kept | None,
    records: list[dict],
    num_rounds: int,
    stopped: Stopped | None,
    width: int,
) -> Result:
    """A copy of one run's state after a block."""
    if carry.halted.is_deleted():
        raise PflError("result: expected to be asked before the next block ran; its buffers are gone")
    about, num_clients = job.runs[run], job.population.num_clients
    clients = in_order(carry.shelf, mesh=job.mesh) if kept is None else kept.copied()
    if len(job.runs) > 1:
        own = lambda leaf: np.array(leaf[run * num_clients : (run + 1) * num_clients])
        clients = jax.tree.map(own, on_host(clients))
    return Result(
        algorithm=job.algorithm._replace(hyper=about.hyper),
        server=copied(pick(carry.servers, run), replicated(job.mesh)),
        clients=clients,
        records=tuple(records[:num_rounds]),
        population=job.population,
        census=about.census,
        seeds=about.seeds,
        mesh=job.mesh,
        width=width,
        examples=job.examples,
        diverged=None if stopped is None else stopped.message,
    )
