"""The cost of a plan's rounds against loops over its lanes, and one client's operations against counts by hand."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax

import pfljax as pfl
from pfljax.data.shard import tile_of
from pfljax.engine.place import max_count
from pfljax.errors import PflError
from pfljax.gate import Operations, bilinear, counters, exact, measure, round_operations, workload
from pfljax.plan.plan import Plan
from pfljax.types import Mean
from tests.gate.workloads import COHORT, MODEL, POPULATION, fedavg, program
from tests.support.zoo import people

TILE = tile_of(max_count(POPULATION))
COUNT = lambda steps, rows: Operations(1000 + 10 * steps + rows, steps, 3)


@pytest.mark.parametrize("width", [1, 3])
def test_paid_and_useful_against_a_loop_over_lanes(width):
    made = program(fedavg(), width)
    plan, sizes = made.plan(0, 5), POPULATION.sizes("train")
    assert not plan.mask.all()
    paid = useful = steps = lane_steps = longest = 0
    for round in range(5):
        loads = []
        for device in range(2):
            load = 0
            for chunk in range(plan.num_chunks[round, device]):
                at = (round, device, chunk)
                most = max(plan.steps[at])
                load += int(most)
                lane_steps += width * int(most)
                paid += width * COUNT(int(most), max(sizes[plan.row[at]])).floating
                for lane in np.flatnonzero(plan.mask[at]):
                    mine = int(plan.steps[at][lane])
                    steps += mine
                    useful += COUNT(mine, sizes[plan.row[at][lane]]).floating
            loads.append(load)
        longest += max(loads)
    found = round_operations(made, plan, COUNT)
    assert found == (Operations(paid, lane_steps, 0), Operations(useful, steps, 0), steps, lane_steps, longest)
    assert (found.lane_steps == found.steps) == (width == 1)


def test_only_the_rounds_of_the_plan_count():
    made = program(fedavg())
    whole, half = made.plan(0, 6), made.plan(0, 3)
    total = lambda *plans: sum(round_operations(made, plan, COUNT).paid.floating for plan in plans)
    assert total(whole) == total(half, made.plan(3, 3))


def test_chunks_that_are_not_sorted_by_length_cost_more():
    made = program(fedavg(), width=4)
    unsorted = replace(made.planner, cost=np.ones_like(made.planner.cost)).block(0, 10, 20)
    sorted_, found = (round_operations(made, plan, COUNT) for plan in (made.plan(0, 10), unsorted))
    assert found.steps == sorted_.steps
    assert found.lane_steps > sorted_.lane_steps
    assert found.paid.floating > sorted_.paid.floating


def test_devices_that_are_not_balanced_show():
    made = program(fedavg())
    plan = made.plan(0, 1)
    count = int(plan.num_chunks.sum())
    together = lambda leaf: np.pad(leaf[:, :, :, 0][plan.mask[..., 0]], (0, count))[:count].reshape(1, 1, count, 1)
    idle = lambda leaf: np.concatenate([together(leaf), np.zeros_like(together(leaf))], axis=1)
    one_device = Plan(0, 1, *map(idle, (plan.row, plan.run, plan.steps, plan.mask)), np.array([[count, 0]]))
    dealt, found = (round_operations(made, each, COUNT) for each in (plan, one_device))
    assert found.steps == dealt.steps == found.longest
    assert dealt.longest < found.longest


@pytest.mark.parametrize(
    "algorithm",
    [
        pfl.algorithms.fedavg(MODEL, optax.sgd(0.1), epochs=1, batch=4),
        pfl.algorithms.fedavg(MODEL, optax.sgd(0.1), steps=2, batch=None),
        pfl.algorithms.ditto(MODEL, optax.sgd(0.1), epochs=1, batch=None),
        pfl.algorithms.per_fedavg(MODEL, optax.sgd(0.1), steps=2, batch=4, inner_steps=2),
    ],
    ids=["fedavg", "fedavg_all_rows", "ditto_all_rows", "maml_exact"],
)
def test_algorithms_of_the_library_are_bilinear(algorithm):
    made = program(algorithm)
    count, traced = bilinear(made), exact(made)
    for steps, rows in ((0, 1), (7, 2 * TILE + 1), (4, TILE)):
        assert count(steps, rows) == traced(steps, rows)


def test_a_step_of_descent_by_hand():
    """One matrix: a step on all rows of a client costs what its matmuls, its loss and its update cost."""
    population = people(num_clients=12, num_features=64)
    model = pfl.models.mlp(population, (128,))
    count = bilinear(program(pfl.algorithms.fedavg(model, optax.sgd(0.1), steps=2, batch=16), population=population))
    one_more = count(6, 20).floating - count(5, 20).floating
    # Forward; the kernels' gradients; the hidden layer's, whose input needs none.
    products = 2 * 16 * ((64 * 128 + 128 * 4) + (64 * 128 + 128 * 4) + 128 * 4)
    assert products < one_more < 1.2 * products
    assert count(5, 20) == count(5, 2000)


def test_all_rows_cost_by_tiles():
    count = bilinear(program(fedavg()))
    assert count(2, 1) == count(2, TILE)
    assert (
        count(2, 2 * TILE).floating - count(2, TILE).floating
        == count(2, 3 * TILE).floating - count(2, 2 * TILE).floating
    )
    # Per tile and step: two layers forward, two kernels' gradients, one hidden layer's.
    per_tile = (count(3, 2 * TILE).floating - count(3, TILE).floating) / 3
    products = 2 * TILE * (2 * (3 * 5 + 5 * 4) + 5 * 4)
    assert products < per_tile < 3 * products


def test_more_rounds_than_a_plan_holds_are_refused():
    with pytest.raises(PflError, match="num_rounds: expected at most 20, got 21"):
        counters(program(fedavg()), num_rounds=21)


def quadratic():
    """A client whose work is quadratic in its steps."""
    base = fedavg()
    ((_, server),) = base.passes

    def client(key, sent, mine, shard):
        step = lambda _, x: jax.tree.map(lambda leaf: leaf * jnp.float32(0.9), x)
        outer = lambda _, x: lax.fori_loop(0, shard.num_steps, step, x)
        vars = lax.fori_loop(0, shard.num_steps, outer, sent.vars)
        return Mean(vars, jnp.float32(1)), mine, {}

    return base._replace(name="quadratic", passes=((client, server),))


def test_what_is_not_bilinear_is_refused_and_can_be_counted_one_by_one():
    made = program(quadratic())
    with pytest.raises(PflError, match=r"operations of quadratic: expected .* linearly .* pass count=pfljax"):
        bilinear(made)
    num_params = sum(leaf.size for leaf in jax.tree.leaves(made.job.server(made.job.runs[0]).vars))
    count = exact(made)
    assert count(5, 9).floating - count(0, 9).floating == 25 * num_params
    plan = made.plan(0, 1)
    sizes = plan.steps[:1][plan.mask[:1]].astype(int)
    assert len(sizes) == COHORT
    paid = round_operations(made, plan, count).paid.floating
    assert paid == COHORT * count(0, 9).floating + num_params * int((sizes**2).sum())


@pytest.mark.slow
def test_a_workload_that_is_not_bilinear_is_measured_one_by_one():
    arguments = {"cohort": COHORT, "devices": 2, "width": 1, "examples": "resident"}
    found = measure(workload(quadratic(), POPULATION, count=exact, **arguments))
    made = program(quadratic())
    assert found["operations"] == round_operations(made, made.plan(0, 10), exact(made)).paid.floating / 10
    with pytest.raises(PflError, match="operations of quadratic"):
        measure(workload(quadratic(), POPULATION, **arguments))
