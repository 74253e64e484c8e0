"""Kept state travels to whoever trains it and back, whatever rows are wanted where: against plain indexing."""

import math
from dataclasses import replace

import jax
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

import pfljax as pfl
from pfljax.engine import route as route_module
from pfljax.engine.devices import AXIS
from pfljax.engine.exchange import fetch, store
from pfljax.engine.job import make_job
from pfljax.engine.ready import Feed, make_program
from pfljax.engine.route import busiest, grid, peers, route
from pfljax.engine.shelf import Clients, Shelf, in_order, taken
from tests.support.zoo import ALGORITHMS, people, tiny_model

NUM_HERE, SLOTS = 5, 7  # rows of state and slots on a device


GRIDS = [(), (2,), (3,), (8,), (2, 2), (2, 3), (2, 4), (2, 2, 2)]


def exchanged(shelf, row, mask, kept, new, grid, spare=0):
    """(what each slot's client has, whether it is known, the shelf afterwards, its clients in their order).

    new: what the slots make of it; spare: rows more than the busiest peers need
    """
    num_devices = math.prod(grid)
    places = (row.reshape(1, num_devices, SLOTS), mask.reshape(1, num_devices, SLOTS), NUM_HERE, grid)
    rooms = tuple(max(1, room) + spare for room in busiest(*places))
    way = jax.tree.map(lambda leaf: leaf[0], route(*places, rooms))

    def there_and_back(shelf, way, kept, new):
        way = jax.tree.map(lambda leaf: leaf[0], way)
        shelf, source, known = fetch(shelf, way, grid)
        mine = taken(shelf.rows.kept, source)
        trained = jax.tree.map(lambda leaf, rows: leaf.at[shelf.free].set(rows), shelf.rows.kept, new)
        return mine, known, store(shelf._replace(rows=shelf.rows._replace(kept=trained)), way, kept, grid)

    mesh, here = Mesh(np.array(jax.devices()[:num_devices]), (AXIS,)), PartitionSpec(AXIS)
    mapped = jax.shard_map(there_and_back, mesh=mesh, in_specs=(here,) * 4, out_specs=here, check_vma=False)
    mine, known, after = jax.jit(mapped)(shelf, way, kept, new)
    return mine, known, after, in_order(after, mesh=mesh)


def shuffled(clients: Clients, num_devices: int, generator) -> Shelf:
    """A shelf with these clients on it, in any order, and numbers of nobody in the free rows."""
    order = np.stack([generator.permutation(NUM_HERE + SLOTS) for _ in range(num_devices)]).astype(np.int32)
    place, free = order[:, :NUM_HERE], order[:, NUM_HERE:]
    at = (np.arange(num_devices)[:, None] * (NUM_HERE + SLOTS) + place).ravel()

    def laid(leaf):
        rows = generator.integers(2, size=(num_devices * (NUM_HERE + SLOTS), *leaf.shape[1:])).astype(leaf.dtype)
        rows[at] = leaf
        return rows

    return Shelf(jax.tree.map(laid, clients), place.ravel(), free.ravel())


def rows_of(case: str, num_devices: int, generator) -> np.ndarray:
    everybody = generator.permutation(NUM_HERE * num_devices)
    return {
        "few": everybody[: 2 * num_devices],
        "all": everybody,
        "of one device": generator.permutation(NUM_HERE),
        "none": everybody[:0],
    }[case]


@pytest.mark.parametrize("hops", GRIDS, ids=str)
@pytest.mark.parametrize("case", ["few", "all", "of one device", "none"])
@pytest.mark.parametrize("spare", [0, 2])
def test_every_slot_gets_its_row_and_every_row_what_its_slot_kept(spare, case, hops):
    num_devices = math.prod(hops)
    generator = np.random.default_rng(num_devices)
    total, slots = NUM_HERE * num_devices, SLOTS * num_devices

    def values(size):
        return {
            "w": generator.normal(size=(size, 3)).astype(np.float32),
            "flag": generator.random(size) < 0.5,
            "count": generator.integers(9, size=size, dtype=np.int32),
        }

    clients = Clients(values(total), generator.random(total) < 0.5)
    shelf = shuffled(clients, num_devices, generator)
    for _ in range(2):  # the second round finds what the first has moved
        new, row, mask = values(slots), np.zeros(slots, np.int32), np.zeros(slots, bool)
        wanted = rows_of(case, num_devices, generator)
        place = generator.permutation(slots)[: len(wanted)]
        if case == "of one device":
            place = slots - 1 - np.arange(len(wanted))  # and all of them go to the last one
        row[place], mask[place] = wanted, True
        kept = mask & (generator.random(slots) < 0.7)

        mine, known, shelf, after = exchanged(shelf, row, mask, kept, new, hops, spare)
        np.testing.assert_array_equal(np.asarray(known)[mask], clients.visited[row[mask]])
        for name, before in clients.kept.items():
            np.testing.assert_array_equal(np.asarray(mine[name])[mask], before[row[mask]])
            expected = before.copy()
            expected[row[kept]] = new[name][kept]
            np.testing.assert_array_equal(after.kept[name], expected)
        visited = clients.visited.copy()
        visited[row[kept]] = True
        np.testing.assert_array_equal(after.visited, visited)
        order = np.concatenate(
            [np.asarray(part).reshape(num_devices, -1) for part in (shelf.place, shelf.free)], axis=1
        )
        np.testing.assert_array_equal(np.sort(order, axis=1), np.tile(np.arange(NUM_HERE + SLOTS), (num_devices, 1)))
        clients = jax.tree.map(np.asarray, after)


def test_the_busiest_pair_is_counted_by_hand():
    """Rows 0 to 4 are on device 0, 5 to 9 on device 1; in round 1 three rows of device 1 go to device 0."""
    place = np.array([[[0, 5, 1, 0], [6, 2, 0, 0]], [[5, 6, 9, 0], [1, 0, 0, 0]]], np.int32)
    mask = np.array([[[1, 1, 1, 0], [1, 1, 0, 0]], [[1, 1, 1, 0], [1, 0, 0, 0]]], bool)
    assert busiest(place[:1], mask[:1], NUM_HERE, (2,)) == (1,)
    assert busiest(place, mask, NUM_HERE, (2,)) == (3,)
    home, (sent,), wanted = route(place, mask, NUM_HERE, (2,), (3,))
    np.testing.assert_array_equal(home[0], [[0, 5, 1, 5], [1, 5, 5, 5]])
    np.testing.assert_array_equal(sent[1, 1], [0, 1, 4])  # of device 1: rows 5, 6, 9, to the only other one
    np.testing.assert_array_equal(wanted[1, 0], [0, 1, 2])  # the slots of device 0 that they fill


def test_two_hops_by_hand():
    """Four devices in a square. Device 0 trains a row of device 3: along row 1 of the square to device 2, then up."""
    assert grid(16) == (4, 4)
    assert peers((2, 2), 0) == [[0, 1], [2, 3]]
    assert peers((2, 2), 1) == [[0, 2], [1, 3]]
    place, mask = np.full((1, 4, 1), 17), np.array([[[True], [False], [False], [False]]])
    home, (first, second), wanted = route(place, mask, NUM_HERE, (2, 2), (1, 1))
    np.testing.assert_array_equal(home[0], [[5], [5], [5], [5]])
    np.testing.assert_array_equal(first[0], [[5, 5], [5, 5], [5, 5], [2, 5]])  # row 17 is row 2 of device 3
    np.testing.assert_array_equal(second[0], [[2, 2], [2, 2], [1, 2], [2, 2]])  # device 2 got it from its peer 1
    np.testing.assert_array_equal(wanted[0], [[1, 0], [1, 1], [1, 1], [1, 1]])  # and device 0 from its peer 1


def test_many_devices_are_a_grid_that_is_as_square_as_can_be():
    assert [grid(num) for num in (1, 2, 8, 12, 13, 64, 256, 512)] == [
        (), (2,), (8,), (3, 4), (13,), (8, 8), (16, 16), (16, 32),
    ]  # fmt: skip


@pytest.mark.parametrize("reduction", ["fast", "ordered"])
def test_runs_in_two_hops_are_those_in_one(reduction, monkeypatch):
    """Eight devices as a grid of 2 x 4, a whole run."""
    population = people(num_clients=40)
    scaffold = ALGORITHMS["scaffold"](tiny_model(population))
    common = {"cohort": 20, "rounds": 5, "width": 2, "reduction": reduction}
    run = lambda: pfl.simulate(scaffold, population, devices=8, **common)
    direct = run()
    monkeypatch.setattr(route_module, "DIRECT", 4)
    assert grid(8) == (2, 4)
    around = run()
    jax.tree.map(np.testing.assert_array_equal, (direct.server, direct.clients), (around.server, around.clients))


def test_a_round_that_needs_more_than_was_foreseen_gets_a_larger_program():
    population = people(num_clients=40)
    scaffold = ALGORITHMS["scaffold"](tiny_model(population))
    common = {"cohort": 12, "rounds": 30, "block": 1, "width": 1, "reduction": "ordered"}
    run = lambda devices: pfl.simulate(scaffold, population, devices=devices, **common).clients
    job = make_job(scaffold, population, cohort=12, seeds=[0], devices=8)
    program = replace(make_program(job, 1, "as asked", 1), num_sent=(1,))
    feed = Feed(program, program.place(), None)
    sizes = []
    for round in range(30):
        feed.block(round, 1)
        sizes.append(feed.program.num_sent[0])
    assert 1 < sizes[-1] == max(sizes)
    jax.tree.map(np.testing.assert_array_equal, run(8), run(1))
