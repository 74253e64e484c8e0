"""Kept state travels to whoever trains it and back, whatever rows are wanted where: against plain indexing."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

import pfljax as pfl
from pfljax.engine.devices import AXIS
from pfljax.engine.exchange import fetch, store
from pfljax.engine.job import make_job
from pfljax.engine.ready import Feed, make_program
from pfljax.engine.route import busiest, route
from tests.support.zoo import ALGORITHMS, people, tiny_model

NUM_HERE, SLOTS = 5, 7  # rows of state and slots on a device


def exchanged(state, row, mask, kept, new, num_devices, spare=0):
    """(what each slot gets, the state afterwards); spare: rows more than the busiest two devices need"""
    places = (row.reshape(1, num_devices, SLOTS), mask.reshape(1, num_devices, SLOTS), NUM_HERE)
    way = jax.tree.map(lambda leaf: leaf[0], route(*places, max(1, busiest(*places)) + spare))

    def there_and_back(state, way, kept, new):
        way = jax.tree.map(lambda leaf: leaf[0], way)
        return fetch(state, way, SLOTS, num_devices), store(state, way, kept, new, num_devices)

    mesh, here = Mesh(np.array(jax.devices()[:num_devices]), (AXIS,)), PartitionSpec(AXIS)
    mapped = jax.shard_map(there_and_back, mesh=mesh, in_specs=(here,) * 4, out_specs=here, check_vma=False)
    return jax.jit(mapped)(state, way, kept, new)


def rows_of(case: str, num_devices: int, generator) -> np.ndarray:
    everybody = generator.permutation(NUM_HERE * num_devices)
    return {
        "few": everybody[: 2 * num_devices],
        "all": everybody,
        "of one device": generator.permutation(NUM_HERE),
        "none": everybody[:0],
    }[case]


@pytest.mark.parametrize("num_devices", [1, 2, 3, 8])
@pytest.mark.parametrize("case", ["few", "all", "of one device", "none"])
@pytest.mark.parametrize("spare", [0, 2])
def test_every_slot_gets_its_row_and_every_row_what_its_slot_kept(spare, case, num_devices):
    generator = np.random.default_rng(num_devices)
    total, slots = NUM_HERE * num_devices, SLOTS * num_devices

    def values(size):
        return {
            "w": generator.normal(size=(size, 3)).astype(np.float32),
            "flag": generator.random(size) < 0.5,
            "count": generator.integers(9, size=size, dtype=np.int32),
        }

    state, new = values(total), values(slots)
    row, mask = np.zeros(slots, np.int32), np.zeros(slots, bool)
    wanted = rows_of(case, num_devices, generator)
    place = generator.permutation(slots)[: len(wanted)]
    if case == "of one device":
        place = np.arange(len(wanted))  # and all of them go to one device
    row[place], mask[place] = wanted, True
    kept = mask & (generator.random(slots) < 0.7)

    mine, after = exchanged(state, row, mask, kept, new, num_devices, spare)
    for name, before in state.items():
        np.testing.assert_array_equal(np.asarray(mine[name])[mask], before[row[mask]])
        expected = before.copy()
        expected[row[kept]] = new[name][kept]
        np.testing.assert_array_equal(after[name], expected)


def test_the_busiest_pair_is_counted_by_hand():
    """Rows 0 to 4 are on device 0, 5 to 9 on device 1; in round 1 three rows of device 1 go to device 0."""
    place = np.array([[[0, 5, 1, 0], [6, 2, 0, 0]], [[5, 6, 9, 0], [1, 0, 0, 0]]], np.int32)
    mask = np.array([[[1, 1, 1, 0], [1, 1, 0, 0]], [[1, 1, 1, 0], [1, 0, 0, 0]]], bool)
    assert busiest(place[:1], mask[:1], NUM_HERE) == 2
    assert busiest(place, mask, NUM_HERE) == 3
    owned, wanted = route(place, mask, NUM_HERE, 3)
    np.testing.assert_array_equal(owned[1, 1], [0, 1, 4, 5, 5, 5])  # of device 1: rows 5, 6, 9 to device 0, none stays
    np.testing.assert_array_equal(wanted[1, 0], [4, 4, 4, 0, 1, 2])  # the slots of device 0 that they fill


def test_a_round_that_needs_more_than_was_foreseen_gets_a_larger_program():
    population = people(num_clients=40)
    scaffold = ALGORITHMS["scaffold"](tiny_model(population))
    common = {"cohort": 12, "rounds": 30, "block": 1, "width": 1, "reduction": "ordered"}
    run = lambda devices: pfl.simulate(scaffold, population, devices=devices, **common).clients
    job = make_job(scaffold, population, cohort=12, seeds=[0], devices=8)
    program = replace(make_program(job, 1, "as asked", 1), num_sent=1)
    feed = Feed(program, program.place(), None)
    sizes = []
    for round in range(30):
        feed.block(round, 1)
        sizes.append(feed.program.num_sent)
    assert 1 < sizes[-1] == max(sizes)
    jax.tree.map(np.testing.assert_array_equal, run(8), run(1))
