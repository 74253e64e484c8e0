"""Every fault that the gate is there for makes it fail, by the counter that is meant for it."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import pfljax as pfl
from pfljax import gate
from pfljax.engine import program as engine_program
from pfljax.engine import round as engine_round
from pfljax.engine import runs as engine_runs
from tests.gate.workloads import MODEL, fedavg, workload


@pytest.fixture(scope="module")
def budget() -> dict[int, dict]:
    """What the unchanged workload measures, by width; at width 4 nothing is run."""
    return {1: gate.measure(workload(fedavg())), 4: of_program(fedavg(), 4)}


def failing(found: dict, budget: dict) -> set[str]:
    """The counters that fail, of those that were measured."""
    known = {counter: value for counter, value in budget.items() if counter in found}
    assert known.keys() == found.keys()
    return {failure.counter for failure in gate.check({"w": found}, {"w": known})}


def of_program(algorithm, width: int = 1) -> dict:
    """The counters that need no run."""
    of = workload(algorithm, width)
    return gate.counters(pfl.engine.prepare(of.algorithm, of.population, **of.arguments))


def test_the_unchanged_workload_passes_and_measures_the_same_again(budget):
    assert gate.measure(workload(fedavg())) == budget[1]


def test_an_extra_forward_pass(budget):
    def twice(vars, batch, key, train):
        (first, stats), (second, _) = (MODEL.apply(vars, batch, key, train) for _ in range(2))
        return (first + second) / 2, stats

    found = of_program(fedavg(MODEL._replace(apply=twice)))
    assert {"operations", "useful_operations"} <= failing(found, budget[1])
    assert found["operations"] > 1.2 * budget[1]["operations"]


def test_padding_to_the_longest_client(budget):
    base = fedavg()
    longest = lambda counts: np.full_like(base.steps(counts), base.steps(counts).max())
    found = failing(of_program(base._replace(steps=longest)), budget[1])
    assert found == {
        "operations",
        "useful_operations",
        "transcendentals",
        "steps",
        "lane_steps",
        "longest_device_steps",
    }


def test_lost_vectorization(budget, monkeypatch):
    """Lanes of a chunk one after another."""
    by_lane = lambda fn: lambda *lanes: lax.map(lambda lane: fn(*lane), lanes)
    monkeypatch.setattr(engine_runs, "jax", SimpleNamespace(**{**vars(jax), "vmap": by_lane}))
    assert "hlo_while" in failing(of_program(fedavg(), 4), budget[4])


def test_a_host_callback_in_the_round(budget):
    base = fedavg()
    ((client, server),) = base.passes

    def tells(key, sent, mine, shard):
        upload, mine, info = client(key, sent, mine, shard)
        jax.debug.callback(lambda loss: None, info["loss"])
        return upload, mine, info

    found = of_program(base._replace(passes=((tells, server),)))
    assert {"host_callbacks", "hlo_custom_call"} <= failing(found, budget[1])


def test_a_recompile_per_block_of_rounds(budget, monkeypatch):
    """Plans whose room follows the round."""
    grown = lambda self, first_round, num: self.planner.block(first_round, num, self.max_rounds + first_round)
    monkeypatch.setattr(engine_program.Program, "plan", grown)
    found = gate.measure(workload(fedavg()))
    assert failing(found, budget[1]) == {"compiles_later", "traces_later"}
    assert found["compiles_later"] == 2


def test_lost_donation(budget, monkeypatch):
    keeps = jax.jit(engine_program.run_block.__wrapped__, static_argnames=("spec", "mesh"))
    monkeypatch.setattr(engine_program, "run_block", keeps)
    assert "undonated_bytes" in failing(of_program(fedavg()), budget[1])


def test_twice_the_local_steps(budget):
    base = fedavg()
    found = of_program(base._replace(steps=lambda counts: 2 * base.steps(counts)))
    assert {"operations", "steps"} <= failing(found, budget[1])
    assert found["steps"] == 2 * budget[1]["steps"]


def test_one_collective_too_many(budget):
    base = fedavg()
    ((client, server),) = base.passes

    def asks_everybody(key, state, aggregate):
        state, info = server(key, state, aggregate)
        return state, info | {"devices": lax.psum(state.vars.params["head"]["bias"].sum(), "clients")}

    found = of_program(base._replace(passes=((client, asks_everybody),)))
    assert "hlo_all_reduce" in failing(found, budget[1])
    assert found["collectives_in_client_loops"] == 0


def test_a_collective_in_the_client_loop(budget, monkeypatch):
    """It would wait for devices that have fewer clients; it is only compiled here."""
    real = engine_round.is_finite
    monkeypatch.setattr(engine_round, "is_finite", lambda tree: lax.psum(real(tree).astype("int32"), "clients") == 2)
    assert "collectives_in_client_loops" in failing(of_program(fedavg()), budget[1])


def test_a_collective_in_the_loop_over_groups_of_chunks(budget, monkeypatch):
    """The outermost loop within a round."""
    minimum = lambda end, most: jnp.minimum(lax.psum(end, "clients") // 2, most)
    monkeypatch.setattr(engine_round, "jnp", SimpleNamespace(**{**vars(jnp), "minimum": minimum}))
    assert "collectives_in_client_loops" in failing(of_program(fedavg()), budget[1])
