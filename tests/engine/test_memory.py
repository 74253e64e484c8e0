"""Memory that follows the chunk and not the cohort, and examples that are not copied for each device."""

import re
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from jax import lax

import pfljax as pfl
from pfljax.data.memory import aligned
from pfljax.engine import round as engine_round
from pfljax.engine.devices import make_mesh
from pfljax.engine.memory import Needs, free_bytes, host_free_bytes
from pfljax.engine.place import place
from tests.support.zoo import ALGORITHMS, people, tiny_model


def crowd(num_clients: int, num_features: int = 6) -> pfl.data.Population:
    """So many clients of two rows each, in flat arrays."""
    return pfl.data.Population(
        {"x": np.ones((2 * num_clients, num_features), np.float32), "y": np.arange(2 * num_clients) % 3},
        offsets=2 * np.arange(num_clients + 1),
        bounds=np.tile([1, 1], (num_clients, 1)),
        ids=tuple(map(str, range(num_clients))),
        about=pfl.data.About(num_classes=3),
    )


@pytest.mark.parametrize("width", [1, 8])
def test_temporaries_do_not_grow_with_the_cohort(width):
    """At most 1.1 times from 100 to 10,000 clients a round; what grows is 14 bytes a client of the plan's round."""
    population = crowd(12_500, 784)
    algorithm = pfl.algorithms.fedavg(pfl.models.mlp(population, (200, 200)), epochs=1, batch=2)
    needed = [
        pfl.engine.prepare(algorithm, population, cohort=cohort, width=width, devices=2).needs.temporaries
        for cohort in (100, 10_000)
    ]
    assert needed[1] <= 1.1 * needed[0], needed


def test_the_server_is_donated():
    """What comes out lies where what went in lay: no second server."""
    population = crowd(20)
    made = pfl.engine.prepare(pfl.algorithms.ditto(pfl.models.mlp(population, (50,))), population, cohort=8, devices=2)
    found = made.compiled.memory_analysis()
    carry = made.job.shapes(made.num_kept, made.num_slots)
    held = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(carry.servers))
    held += sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(carry.shelf)) // 2
    assert found.alias_size_in_bytes >= held
    assert Needs.of(made.compiled).total == (
        found.argument_size_in_bytes
        + found.output_size_in_bytes
        - found.alias_size_in_bytes
        + found.temp_size_in_bytes
        + found.generated_code_size_in_bytes
    )


def whole_copies(algorithm, population, width: int) -> list[str]:
    """The instructions of a round that copy numbers of all rows of kept state."""
    made = pfl.engine.prepare(algorithm, population, cohort=11, devices=2, width=width)
    copy = re.compile(rf"= f32\[{made.num_kept_here + made.num_slots}(,\d+)*\]\S* copy\(")
    return [line for line in made.compiled.as_text().splitlines() if copy.search(line)]


@pytest.mark.parametrize(("name", "width"), [("ditto", 1), ("fedper", 1), ("scaffold", 1), ("scaffold", 3)])
def test_kept_state_is_never_copied_whole(name, width):
    population = people(num_clients=40)
    assert not whole_copies(ALGORITHMS[name](tiny_model(population)), population, width)


def test_reading_it_where_it_is_written_would_copy_it(monkeypatch):
    """A control: without the branch that the client loop reads it in."""
    population = people(num_clients=40)
    straight = SimpleNamespace(**{**vars(lax), "cond": lambda _, found, mixed: mixed()})
    monkeypatch.setattr(engine_round, "lax", straight)
    assert whole_copies(ALGORITHMS["scaffold"](tiny_model(population)), population, 1)


def pointers(array: jax.Array) -> list[int]:
    return [shard.data.unsafe_buffer_pointer() for shard in array.addressable_shards]


def test_aligned_rows_are_read_where_they_are():
    population = crowd(1000)
    x = aligned(population.arrays["x"])
    arrays = dict(population.arrays) | {"x": x}
    lying = pfl.data.Population(arrays, population.offsets, population.bounds, population.ids, about=population.about)
    placed = place(lying, make_mesh(4))
    assert pointers(placed.arrays["x"]) == [x.ctypes.data] * 4


def test_mapped_files_are_read_where_they_are(tmp_path):
    population = crowd(1000)
    np.save(tmp_path / "x.npy", population.arrays["x"])
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    arrays = dict(population.arrays) | {"x": x}
    lying = pfl.data.Population(arrays, population.offsets, population.bounds, population.ids, about=population.about)
    assert pointers(place(lying, make_mesh(4)).arrays["x"]) == [x.ctypes.data] * 4


def test_unaligned_rows_are_copied_once_for_all():
    raw = np.zeros(4 * 12_000 + 68, np.uint8)
    begin = -raw.ctypes.data % 64 + 4
    x = raw[begin : begin + 48_000].view(np.float32).reshape(2000, 6)
    population = crowd(1000)
    arrays = dict(population.arrays) | {"x": x}
    lying = pfl.data.Population(arrays, population.offsets, population.bounds, population.ids, about=population.about)
    found = pointers(place(lying, make_mesh(4)).arrays["x"])
    assert len(set(found)) == 1
    assert found[0] != x.ctypes.data


def test_cpu_devices_share_the_host():
    assert 0 < free_bytes(make_mesh(4)) <= host_free_bytes() // 2
