"""Rounds as a Python generator of blocks: plans, dispatches, hands out what was recorded."""

import math
import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from pfljax import keys
from pfljax.data.population import Population
from pfljax.engine.block import Carry, run_block
from pfljax.engine.devices import auto_width, by_client, make_mesh, replicated
from pfljax.engine.place import copied, max_count, place
from pfljax.engine.result import Diverged, Result
from pfljax.engine.round import OnNonfinite, Slots, Spec
from pfljax.engine.start import fresh_clients, initial_server
from pfljax.errors import PflError, whole
from pfljax.plan import Plan, Planner, hold_out
from pfljax.types import Algorithm, Census, Tree, Vars
from pfljax.upload import Transform

MAX_ROUNDS = 100  # a plan has room for as many, so that blocks of any length share one program
BLOCK_SECONDS = 2.0  # a block's length in time, so that progress, interrupts and preemptions are met soon


@dataclass(frozen=True)
class Block:
    """Some consecutive rounds that have been executed.

    rows: [round, client] population rows of each round's cohort; info: {name: [round, client]} in that order
    server_info: {name: [round]}; records: one dict a round, what goes into rounds.jsonl
    seconds: from dispatch to done; compile_seconds: before the first block, else 0
    wasted: the share of lane-steps spent waiting for a chunk's longest client
    """

    first_round: int
    num_rounds: int
    rows: np.ndarray
    info: dict[str, np.ndarray]
    server_info: dict[str, np.ndarray]
    records: tuple[dict, ...]
    seconds: float
    compile_seconds: float
    wasted: float
    _result: Any

    def result(self) -> Result:
        """A copy of the state after this block. Ask before the next block runs: its buffers are reused then."""
        return self._result()


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
    width: int | str = "auto",
    block: int | str = "auto",
    pause_every: int | None = None,
    on_nonfinite: OnNonfinite = "stop",
) -> Iterator[Block]:
    """Runs `rounds` rounds of `cohort` clients and yields them block by block.

    seed:    one integer, or `pfl.Seeds(split, sampling, model)`
    unseen:  the share of clients that is never trained on
    params:  where to start instead of model.init: a `Vars`, or a tree of params
    upload:  what happens to each client's upload before it is summed, e.g. `pfl.upload.clip(1.0)`
    devices: how many to use (None: all); width: clients side by side on one device
    block:   rounds a dispatch; "auto" aims at two seconds. pause_every: no block runs past a multiple of it
    on_nonfinite: "stop" raises `Diverged`, with the result so far; "drop" leaves such updates out of the sum

    Raises PflError for arguments outside these, before anything runs.
    """
    rounds, cohort = whole("rounds", rounds), whole("cohort", cohort)
    if on_nonfinite not in ("stop", "drop"):
        raise PflError(f"on_nonfinite: expected 'stop' or 'drop', got {on_nonfinite!r}")
    for name, value in (("width", width), ("block", block)):
        if value != "auto":
            whole(name, value)
    if pause_every is not None:
        whole("pause_every", pause_every)
    seeds, sizes = keys.seeds(seed), population.sizes("train")
    seen = hold_out(population, unseen, seeds.split)
    mesh = make_mesh(devices)
    _mention_idle_cores(mesh)
    lanes = auto_width(mesh, cohort) if isinstance(width, str) else min(width, cohort)
    steps, cost = algorithm.steps(sizes), algorithm.cost(sizes)
    planner = Planner(np.flatnonzero(seen), steps, cost, cohort, mesh.size, lanes, seeds.sampling)
    census = Census(population.num_clients, seen, sizes)
    job = _Job(algorithm, population, census, planner, seeds, mesh, upload, on_nonfinite)
    return _run(job, params, rounds, block, pause_every)


@dataclass(frozen=True)
class _Job:
    """What a run is about; nothing of it changes from block to block."""

    algorithm: Algorithm
    population: Population
    census: Census
    planner: Planner
    seeds: keys.Seeds
    mesh: Mesh
    upload: Transform | None
    on_nonfinite: OnNonfinite

    def begin(self, params: Vars | Tree | None) -> Carry:
        """The state before the first round, on its devices, in buffers that the loop may donate."""
        server = initial_server(self.algorithm, self.census, self.seeds, params)
        return Carry(
            copied(server, replicated(self.mesh)),
            fresh_clients(self.algorithm, server, self.census.num_clients, self.mesh),
            jax.device_put(jnp.int32(-1), replicated(self.mesh)),
        )

    def dispatcher(self) -> Callable[[Carry, Plan], tuple]:
        """(carry, plan) -> (carry, client info, server info), not waited for."""
        of, mesh = self.algorithm, self.mesh
        most = max_count(self.population)
        spec = Spec(of.send, of.init_client, of.passes, self.upload, mesh.size, self.on_nonfinite, most)
        placed = place(self.population, mesh)
        key = jax.device_put(keys.use(keys.root(self.seeds.model), "clients"), replicated(mesh))
        return lambda carry, plan: run_block(carry, placed, *_on_devices(plan, mesh), key, spec=spec, mesh=mesh)

    def result(self, carry: Carry, records: tuple[dict, ...]) -> Result:
        """A copy of the state after a block."""
        if carry.halted.is_deleted():
            raise PflError("result: expected to be asked before the next block ran; its buffers are gone")
        server, clients = copied(carry.server, replicated(self.mesh)), carry.clients.copied()
        width = self.planner.width
        return Result(
            self.algorithm, server, clients, records, self.population, self.census, self.seeds, self.mesh, width
        )


def _run(
    job: _Job, params: Vars | Tree | None, num_rounds: int, block: int | str, pause_every: int | None
) -> Iterator[Block]:
    carry, dispatch, planner = job.begin(params), job.dispatcher(), job.planner
    max_rounds = MAX_ROUNDS if isinstance(block, str) else max(MAX_ROUNDS, block)
    begin = time.perf_counter()
    # No round: compiles, and leaves the carry as it is.
    carry, _, _ = jax.block_until_ready(dispatch(carry, planner.block(0, 0, max_rounds)))
    compile_seconds = time.perf_counter() - begin

    records: list[dict] = []
    done, size = 0, 1 if isinstance(block, str) else block
    room = lambda: min(size, num_rounds - done, pause_every - done % pause_every if pause_every else size)
    plan = planner.block(0, room(), max_rounds)
    while done < num_rounds:
        begin = time.perf_counter()
        carry, info, server_info = dispatch(carry, plan)
        done += plan.num_rounds
        # The next plan is made while the devices work; its size follows the last block's speed.
        upcoming = planner.block(done, room(), max_rounds)
        jax.block_until_ready(carry)
        seconds = time.perf_counter() - begin
        if block == "auto":
            size = max(1, min(max_rounds, math.floor(BLOCK_SECONDS / (seconds / plan.num_rounds + 1e-9)), 4 * size))
        made = _collect(plan, info, server_info, seconds, compile_seconds, job.population)
        halted, compile_seconds = int(carry.halted), 0.0
        good = made.num_rounds if halted < 0 else halted - made.first_round
        records += made.records[:good]
        result = partial(_result, job, carry, records, len(records))
        if good:
            yield replace(_first(made, good), _result=result)
        if halted >= 0:
            raise _diverged(made, halted, job.population, result())
        plan = upcoming


def _result(job: _Job, carry: Carry, records: list[dict], num_rounds: int) -> Result:
    return job.result(carry, tuple(records[:num_rounds]))


def _on_devices(plan: Plan, mesh: Mesh):
    slots = Slots(plan.row, plan.steps, plan.mask, plan.num_chunks)
    scalars = (np.int32(plan.first_round), np.int32(plan.num_rounds))
    return jax.device_put(slots, by_client(mesh, axis=1)), *jax.device_put(scalars, replicated(mesh))


def _collect(plan: Plan, info, server_info, seconds: float, compile_seconds: float, population: Population) -> Block:
    """Host copies, without the padding: every round has the same number of clients."""
    num = plan.num_rounds
    mask = plan.mask[:num].reshape(num, -1)
    pick = lambda leaf: np.asarray(leaf)[:num].reshape(num, -1)[mask].reshape(num, -1)
    rows, infos = pick(plan.row), {name: pick(leaf) for name, leaf in info.items()}
    server_infos = {name: np.asarray(leaf)[:num] for name, leaf in server_info.items()}
    rate = rows.size / seconds
    records = tuple(_record(plan.first_round, i, rows, infos, server_infos, population, rate) for i in range(num))
    wasted = plan.wasted()
    return Block(plan.first_round, num, rows, infos, server_infos, records, seconds, compile_seconds, wasted, None)


def _first(made: Block, num: int) -> Block:
    cut = lambda tree: {name: leaf[:num] for name, leaf in tree.items()}
    return replace(
        made,
        num_rounds=num,
        rows=made.rows[:num],
        info=cut(made.info),
        server_info=cut(made.server_info),
        records=made.records[:num],
    )


def _record(first_round: int, index: int, rows, infos, server_infos, population: Population, rate: float) -> dict:
    finite = infos["finite"][index]
    means = {k: float(np.mean(v[index][finite])) for k, v in infos.items() if k != "finite" and finite.any()}
    extra = {k: float(v[index]) for k, v in server_infos.items()}
    dropped = [population.ids[row] for row in rows[index][~finite]]
    record = {"round": first_round + index, "clients": int(finite.sum())} | means | extra
    return record | {"dropped": dropped, "clients_per_second": rate}


def _diverged(made: Block, round: int, population: Population, result: Result) -> Diverged:
    index = round - made.first_round
    bad = [population.ids[row] for row in made.rows[index][~made.info["finite"][index]]]
    return Diverged(round, tuple(bad), result)


def _mention_idle_cores(mesh: Mesh) -> None:
    cores = len(os.sched_getaffinity(0))
    if mesh.devices.flat[0].platform == "cpu" and len(jax.devices()) == 1 and cores > 1:
        warnings.warn(
            f"1 CPU device on {cores} cores: call pfljax.use_cores() before anything computes to use them all",
            stacklevel=4,
        )
