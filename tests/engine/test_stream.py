"""Examples that stay on the host, in memory or in files, train and evaluate to the same bits as resident ones."""

import jax
import numpy as np
import pytest

import pfljax as pfl
from pfljax.engine import each, ready
from pfljax.engine.devices import make_mesh
from pfljax.engine.stream import Stream
from tests.support.zoo import ALGORITHMS, people, tiny_model

ARGUMENTS = {"cohort": 5, "rounds": 4, "seed": 1, "devices": 2, "width": 2}


@pytest.fixture(scope="module")
def population():
    return people()


@pytest.fixture(scope="module")
def algorithm(population):
    return ALGORITHMS["ditto"](tiny_model(population))


@pytest.fixture(scope="module")
def resident(population, algorithm):
    return pfl.simulate(algorithm, population, examples="resident", **ARGUMENTS)


def mapped(population, folder) -> pfl.data.Population:
    """The same population with its arrays in files."""
    arrays = {}
    for name, array in population.arrays.items():
        np.save(folder / f"{name}.npy", array)
        arrays[name] = np.load(folder / f"{name}.npy", mmap_mode="r")
    return pfl.data.Population(arrays, population.offsets, population.bounds, population.ids, about=population.about)


def same_bits(one, other) -> None:
    for a, b in zip(
        jax.tree.leaves((one.server, one.clients)), jax.tree.leaves((other.server, other.clients)), strict=True
    ):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.parametrize("block", [1, 4])
def test_the_same_bits_as_resident(population, algorithm, resident, block):
    same_bits(pfl.simulate(algorithm, population, examples="streamed", block=block, **ARGUMENTS), resident)


def test_files_give_the_same_bits(population, algorithm, resident, tmp_path):
    lying = mapped(population, tmp_path)
    for examples in ("streamed", "resident"):
        same_bits(pfl.simulate(algorithm, lying, examples=examples, **ARGUMENTS), resident)


def test_blocks_are_cut_and_programs_grow(population, algorithm, resident, monkeypatch):
    """With room for one row, every block is one round, and the program grows to what its rounds need."""
    monkeypatch.setattr(ready, "STREAMED_BYTES", 1)
    monkeypatch.setattr(ready, "SLACK", 0.0)
    blocks = list(pfl.rounds(algorithm, population, examples="streamed", block=4, **ARGUMENTS))
    assert [block.num_rounds for block in blocks] == [1, 1, 1, 1]
    same_bits(blocks[-1].result(), resident)


def test_evaluation_streams_too(population, algorithm, resident, monkeypatch):
    expected = pfl.evaluate(resident, population, (0, 3)).rows()
    streamed = pfl.simulate(algorithm, population, examples="streamed", **ARGUMENTS)
    assert pfl.evaluate(streamed, population, (0, 3)).rows() == expected
    monkeypatch.setattr(each, "STREAMED_BYTES", 2000)
    assert pfl.evaluate(streamed, population, (0, 3)).rows() == expected


def test_gathered_rows_are_the_clients_own(population):
    mesh = make_mesh(2)
    stream = Stream.of(population, mesh)
    clients = [np.array([3, 0, 3]), np.array([9])]
    capacity = stream.num_rows(clients)
    assert capacity == max(stream.sizes[[0, 3]].sum(), stream.sizes[9])
    placed = stream.gather(clients, capacity)
    x, first = np.asarray(placed.arrays["x"]), np.asarray(placed.first)
    for device, rows in enumerate(clients):
        for row in rows:
            own = population.arrays["x"][population.offsets[row] : population.offsets[row + 1]]
            np.testing.assert_array_equal(x[device, first[device, row] :][: len(own)], own)


def test_a_file_that_shrank_is_refused_and_nothing_is_lost(population, algorithm, tmp_path):
    lying = mapped(population, tmp_path)
    blocks = pfl.rounds(algorithm, lying, examples="streamed", block=1, **ARGUMENTS)
    first = next(blocks)
    path = tmp_path / "x.npy"
    whole, later = path.read_bytes(), []
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        pfl.PflError, match=r"array 'x': expected its file .*x.npy to have \d+ bytes, got \d+; it has shrunk"
    ):
        later.extend(blocks)
    assert len(first.records) == 1
    # The block that was running when the next one could not be brought is handed out first.
    assert [block.first_round for block in later] == [1]
    with pytest.raises(pfl.PflError, match="has shrunk"):
        pfl.data.Population(lying.arrays, lying.offsets, lying.bounds, lying.ids)
    path.unlink()
    with pytest.raises(pfl.PflError, match=r"expected its file .* to be there"):
        next(pfl.rounds(algorithm, lying, examples="resident", **ARGUMENTS))


def test_what_is_too_large_is_streamed_or_refused(population, algorithm, monkeypatch):
    from pfljax.engine import job

    unaligned = people()
    monkeypatch.setattr(job, "free_bytes", lambda mesh, memory: 100)
    monkeypatch.setattr(job, "ALIGNMENT", 2**40)
    made = pfl.engine.prepare(algorithm, unaligned, cohort=5)
    assert made.stream is not None
    with pytest.raises(
        pfl.PflError, match=r"examples: expected \d+ rows to fit into 100 B of each device, got .*streamed"
    ):
        pfl.engine.prepare(algorithm, unaligned, cohort=5, examples="resident")
    with pytest.raises(pfl.PflError, match="examples: expected one of 'auto', 'resident', 'streamed', got 'host'"):
        pfl.engine.prepare(algorithm, unaligned, cohort=5, examples="host")
