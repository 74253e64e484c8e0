"""Rounds as a Python generator of blocks: plans, dispatches, hands out what was recorded."""

import math
import os
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
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
from pfljax.errors import PflError
from pfljax.plan import Plan, Planner, hold_out
from pfljax.types import Algorithm, Census, Tree, Vars

MAX_ROUNDS = 100  # a plan has room for as many, so that blocks of any length share one program
BLOCK_SECONDS = 2.0  # a block's length in time, so that progress, interrupts and preemptions are met soon


@dataclass(frozen=True)
class Block:
    """Some consecutive rounds that have been executed.

    rows: [round, client] population rows of each round's cohort; info: {name: [round, client]} in that order
    server_info: {name: [round]}; seconds: execution only; compile_seconds: before the first block, else 0
    wasted: the share of lane-steps spent waiting for a chunk's longest client
    """

    first_round: int
    num_rounds: int
    rows: np.ndarray
    info: dict[str, np.ndarray]
    server_info: dict[str, np.ndarray]
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
    devices: how many to use (None: all); width: clients side by side on one device
    block:   rounds a dispatch; "auto" aims at two seconds. pause_every: no block runs past a multiple of it
    on_nonfinite: "stop" raises `Diverged`, with the result so far; "drop" leaves such updates out of the sum

    Raises PflError for arguments outside these, before anything runs.
    """
    if not isinstance(rounds, int) or rounds < 1:
        raise PflError(f"rounds: expected a whole number of at least 1, got {rounds!r}")
    if on_nonfinite not in ("stop", "drop"):
        raise PflError(f"on_nonfinite: expected 'stop' or 'drop', got {on_nonfinite!r}")
    for name, value in (("width", width), ("block", block)):
        if value != "auto" and not (isinstance(value, int) and value >= 1):
            raise PflError(f"{name}: expected 'auto' or a whole number of at least 1, got {value!r}")
    seeds, sizes = keys.seeds(seed), population.sizes("train")
    seen = hold_out(population, unseen, seeds.split)
    mesh = make_mesh(devices)
    _mention_idle_cores(mesh)
    lanes = auto_width(mesh, cohort) if isinstance(width, str) else width
    steps, cost = algorithm.steps(sizes), algorithm.cost(sizes)
    planner = Planner(np.flatnonzero(seen), steps, cost, cohort, mesh.size, lanes, seeds.sampling)
    census = Census(population.num_clients, seen, sizes)
    return _run(algorithm, population, planner, census, mesh, seeds, params, rounds, block, pause_every, on_nonfinite)


def _run(algorithm, population, planner, census, mesh, seeds, params, num_rounds, block, pause_every, on_nonfinite):
    server = initial_server(algorithm, census, seeds, params)
    carry = Carry(
        copied(server, replicated(mesh)),
        fresh_clients(algorithm, server, census.num_clients, mesh),
        jax.device_put(jnp.int32(-1), replicated(mesh)),
    )
    spec = Spec(algorithm.send, algorithm.init_client, algorithm.passes, mesh.size, on_nonfinite, max_count(population))
    placed = place(population, mesh)
    key = jax.device_put(keys.use(keys.root(seeds.model), "clients"), replicated(mesh))
    max_rounds = MAX_ROUNDS if block == "auto" else max(MAX_ROUNDS, block)

    def dispatch(carry, plan):
        return run_block(carry, placed, *_on_devices(plan, mesh), key, spec=spec, mesh=mesh)

    begin = time.perf_counter()
    # No round: compiles, and leaves the carry as it is.
    carry, _, _ = jax.block_until_ready(dispatch(carry, planner.block(0, 0, max_rounds)))
    compile_seconds = time.perf_counter() - begin

    records, done, size = [], 0, 1 if block == "auto" else block
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
        halted = int(carry.halted)
        made = _collect(plan, info, server_info, seconds, compile_seconds)
        compile_seconds = 0.0
        good = made.num_rounds if halted < 0 else halted - made.first_round
        records += _records(_first(made, good), population)

        def result(carry=carry, records=tuple(records)):
            if carry.halted.is_deleted():
                raise PflError("result: expected to be asked before the next block ran; its buffers are gone")
            server, clients = copied(carry.server, replicated(mesh)), carry.clients.copied()
            return Result(algorithm, server, clients, records, population, census, seeds, mesh, planner.width)

        made = replace(made, _result=result)
        if halted >= 0:
            if good:
                yield _first(made, good)
            raise _diverged(made, halted, population, result)
        yield made
        plan = upcoming


def _on_devices(plan: Plan, mesh: Mesh):
    slots = Slots(plan.row, plan.steps, plan.mask, plan.num_chunks)
    scalars = (np.int32(plan.first_round), np.int32(plan.num_rounds))
    return jax.device_put(slots, by_client(mesh, axis=1)), *jax.device_put(scalars, replicated(mesh))


def _collect(plan: Plan, info, server_info, seconds: float, compile_seconds: float) -> Block:
    """Host copies, without the padding: every round has the same number of clients."""
    num = plan.num_rounds
    mask = plan.mask[:num].reshape(num, -1)
    pick = lambda leaf: np.asarray(leaf)[:num].reshape(num, -1)[mask].reshape(num, -1)
    infos = {name: pick(leaf) for name, leaf in info.items()}
    server_infos = {name: np.asarray(leaf)[:num] for name, leaf in server_info.items()}
    return Block(
        plan.first_round, num, pick(plan.row), infos, server_infos, seconds, compile_seconds, plan.wasted(), None
    )


def _first(made: Block, num: int) -> Block:
    cut = lambda tree: {name: leaf[:num] for name, leaf in tree.items()}
    return replace(made, num_rounds=num, rows=made.rows[:num], info=cut(made.info), server_info=cut(made.server_info))


def _records(made: Block, population: Population) -> list[dict]:
    """One dict a round: what goes into rounds.jsonl."""
    per_second = made.rows.size / made.seconds if made.num_rounds else 0.0
    records = []
    for index in range(made.num_rounds):
        finite = made.info["finite"][index]
        means = {k: float(np.mean(v[index][finite])) for k, v in made.info.items() if k != "finite" and finite.any()}
        extra = {k: float(v[index]) for k, v in made.server_info.items()}
        dropped = [population.ids[row] for row in made.rows[index][~finite]]
        record = {"round": made.first_round + index, "clients": int(finite.sum())}
        records.append(record | means | extra | {"dropped": dropped, "clients_per_second": per_second})
    return records


def _diverged(made: Block, round: int, population: Population, result) -> Diverged:
    index = round - made.first_round
    bad = [population.ids[row] for row in made.rows[index][~made.info["finite"][index]]]
    return Diverged(round, tuple(bad), result())


def _mention_idle_cores(mesh: Mesh) -> None:
    cores = len(os.sched_getaffinity(0))
    if mesh.devices.flat[0].platform == "cpu" and len(jax.devices()) == 1 and cores > 1:
        warnings.warn(
            f"1 CPU device on {cores} cores: call pfljax.use_cores() before anything computes to use them all",
            stacklevel=4,
        )
