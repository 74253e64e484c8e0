"""Any layout gives the reference's result: devices, widths, blocks, unequal step counts."""

import jax
import numpy as np
import pytest

import pfljax as pfl
from pfljax.engine import reference
from tests.support.zoo import ALGORITHMS, REPRESENTATIVES, batch_norm_model, people, tiny_model

COHORT, ROUNDS = 6, 4


def close(got, expected, tolerance=2e-6):
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=tolerance, atol=tolerance)


@pytest.fixture(scope="module")
def zoo():
    population = people()
    model = tiny_model(population)
    algorithms = {name: ALGORITHMS[name](model) for name in REPRESENTATIVES}
    return population, algorithms


@pytest.fixture(scope="module")
def expected(zoo):
    population, algorithms = zoo
    run = lambda algorithm: reference.simulate(algorithm, population, cohort=COHORT, rounds=ROUNDS, seed=3)
    return {name: run(algorithm) for name, algorithm in algorithms.items()}


GRID = [(devices, width, block) for devices in (1, 2, 8) for width in (1, 3, COHORT) for block in (1, ROUNDS)]
# In the fast set every number of devices and every width meets both blocks, for a method without state and one with.
FEW = ((1, 1, 1), (1, 3, ROUNDS), (2, 3, 1), (2, COHORT, ROUNDS), (8, 1, ROUNDS), (8, COHORT, 1))
CASES = [
    pytest.param(name, *layout, marks=() if name in ("fedavg", "ditto") and layout in FEW else pytest.mark.slow)
    for name in REPRESENTATIVES
    for layout in GRID
]


@pytest.mark.parametrize(("name", "devices", "width", "block"), CASES)
def test_every_layout_gives_the_reference(zoo, expected, name, devices, width, block):
    population, algorithms = zoo
    result = pfl.simulate(
        algorithms[name], population, cohort=COHORT, rounds=ROUNDS, seed=3, devices=devices, width=width, block=block
    )
    server, kept, infos = expected[name]
    close(result.server, server)
    assert [record["loss"] for record in result.records] == pytest.approx(
        [np.mean([float(info["loss"]) for info in round.values()]) for round in infos], rel=1e-5
    )
    for row, state in kept.items():
        if jax.tree.leaves(state):
            close(jax.tree.map(lambda leaf, row=row: leaf[row], result.clients.kept), state)
            assert bool(result.clients.visited[row])


@pytest.mark.parametrize("devices", [1, 8])
def test_statistics_and_dropout_give_the_reference(devices):
    population = people()
    algorithm = ALGORITHMS["fedavg"](batch_norm_model(population))
    server, *_ = reference.simulate(algorithm, population, cohort=COHORT, rounds=2, seed=1)
    result = pfl.simulate(algorithm, population, cohort=COHORT, rounds=2, seed=1, devices=devices, width=2)
    close(result.server, server, 2e-4)  # a batch of two rows divides by a tiny deviation, which magnifies rounding
    assert np.abs(np.asarray(result.vars.stats["norm"]["mean"])).max() > 0


def test_the_same_layout_gives_the_same_bits(zoo):
    population, algorithms = zoo
    runs = [pfl.simulate(algorithms["ditto"], population, cohort=COHORT, rounds=ROUNDS, seed=3) for _ in range(2)]
    for a, b in zip(*(jax.tree.leaves((run.server, run.clients)) for run in runs), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_width_and_devices_do_not_change_a_client(zoo):
    """Client state after one round, where no sum over clients has entered yet, is the same in any layout."""
    population, algorithms = zoo
    arguments = {"cohort": COHORT, "rounds": 1, "seed": 3}
    first = pfl.simulate(algorithms["local_only"], population, devices=1, width=1, **arguments)
    other = pfl.simulate(algorithms["local_only"], population, devices=2, width=1, **arguments)
    cut = lambda tree: jax.tree.map(lambda leaf: np.asarray(leaf)[: population.num_clients], tree)
    for a, b in zip(*(jax.tree.leaves(cut(run.clients)) for run in (first, other)), strict=True):
        np.testing.assert_array_equal(a, b)
