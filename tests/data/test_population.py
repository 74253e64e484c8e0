"""`Population`: what it refuses and how it says so, splits, selections, checksum."""

import re
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfljax.data.population import About, Population
from pfljax.errors import PflError

SPLITS = ("train", "validation", "test")
STEADY = settings(deadline=None, derandomize=True, max_examples=50)


def columns(rows: int = 5, dtype=np.float32, shape: tuple[int, ...] = (2,)) -> dict[str, np.ndarray]:
    return {"x": np.ones((rows, *shape), dtype), "y": np.arange(rows)}


def with_value(value: float) -> dict[str, np.ndarray]:
    """Ten rows of which the fourth is bad."""
    x = np.ones((10, 2), np.float32)
    x[3, 1] = value
    return {"x": x, "y": np.arange(10)}


def numbered(sizes: list[int]) -> dict[str, dict[str, np.ndarray]]:
    """Clients c0, c1, ... whose rows are numbered through in the order given."""
    edges = np.concatenate([[0], np.cumsum(sizes)])
    return {f"c{i}": {"row": np.arange(edges[i], edges[i + 1])} for i in range(len(sizes))}


def handmade(**changes) -> Population:
    """Two clients of 3 and 4 rows."""
    parts = {
        "arrays": {"x": np.arange(14, dtype=np.float32).reshape(7, 2), "y": np.arange(7, dtype=np.int32)},
        "offsets": np.array([0, 3, 7]),
        "bounds": np.array([[1, 2], [2, 3]]),
        "ids": ("ada", "bob"),
        "groups": ("g", "h"),
        "about": About("hand", num_classes=7),
    }
    return Population(**(parts | changes))


def refusal(make, *arguments, **options) -> str:
    """The message of the PflError that the call must raise; it has to say what was expected and what came."""
    with pytest.raises(PflError) as error:
        make(*arguments, **options)
    message = str(error.value)
    assert re.search(r"expected .+ got .+", message), message
    return message


# ---- refusals ----


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (columns(0), ["client 'bob'", "at least 2 examples (train and test)", "got none", "leave the client out"]),
        (columns(1), ["client 'bob'", "at least 2 examples", "got 1;"]),
        ({}, ["client 'bob'", "named arrays", "got none"]),
        (with_value(np.nan), ["client 'bob'", "finite numbers in 'x'", "NaN or infinity"]),
        (with_value(np.inf), ["client 'bob'", "finite numbers in 'x'"]),
        (with_value(-np.inf), ["client 'bob'", "finite numbers in 'x'"]),
        (columns(dtype=np.float64), ["client 'bob'", "client 'ada'", "x: float32[2]", "x: float64[2]", "cast"]),
        (columns(dtype=np.int32), ["client 'bob'", "x: float32[2]", "x: int32[2]"]),
        (columns(shape=(3,)), ["client 'bob'", "x: float32[2]", "x: float32[3]"]),
        (columns(shape=()), ["client 'bob'", "x: float32[2]", "x: float32[]"]),
        ({"x": columns()["x"]}, ["client 'bob'", "got x: float32[2]"]),
        (columns() | {"z": np.zeros(5)}, ["client 'bob'", "z: float64[]"]),
        (columns() | {"y": np.arange(4)}, ["client 'bob'", "common number of rows", "{'x': 5, 'y': 4}"]),
        (columns() | {"y": np.float32(1)}, ["client 'bob'", "common number of rows", "'y': -1"]),
    ],
)
def test_a_bad_client_is_refused_by_name(bad, words):
    message = refusal(Population.from_clients, {"ada": columns(), "bob": bad})
    for word in words:
        assert word in message


@pytest.mark.parametrize("dtype", [object, "U3", "S3", complex, "datetime64[s]"])
def test_what_is_not_a_number_is_refused_by_field(dtype):
    clients = {name: {"x": np.ones((5, 2)), "label": np.zeros(5, dtype)} for name in ("ada", "bob")}
    message = refusal(Population.from_clients, clients)
    assert "array 'label': expected numbers or booleans, got dtype" in message


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int16, np.int32, np.float16, np.float32])
def test_numbers_and_booleans_are_kept_as_they_are(dtype):
    people = Population.from_clients({name: {"x": np.ones((5, 2), dtype)} for name in ("ada", "bob")})
    assert people.arrays["x"].dtype == dtype


@pytest.mark.parametrize("row", [0, 7, 2**21, 2**21 + 5])
def test_a_bad_value_is_found_in_any_part_of_a_long_array(row):
    """The check goes through long arrays piece by piece."""
    x = np.zeros((2**21 + 6, 2), np.float32)
    x[row, 1] = np.nan
    message = refusal(Population.from_clients, {"ada": {"x": x[:7]}, "bob": {"x": x[7:]}}, seed=None)
    name, inside = ("ada", row) if row < 7 else ("bob", row - 7)
    assert f"client {name!r}" in message
    assert f"row {inside};" in message


@pytest.mark.parametrize(
    "split",
    [(0.5, 0.5), (0.5, 0.2, 0.2), (0.0, 0.5, 0.5), (1.2, -0.1, -0.1), (0.6, 0.2, 0.3), (float("nan"), 0.5, 0.5), 1.0],
)
def test_bad_shares_are_refused(split):
    message = refusal(Population.from_clients, {"ada": columns()}, split=split)
    assert "split: expected three shares that sum to 1 with a positive train share" in message
    assert str(split) in message


def test_one_example_is_enough_without_a_test_share():
    people = Population.from_clients({"ada": columns(1), "bob": columns(3)}, split=(1.0, 0.0, 0.0))
    assert [people.sizes(split).tolist() for split in SPLITS] == [[1, 3], [0, 0], [0, 0]]
    assert "client 'ada'" in refusal(Population.from_clients, {"ada": columns(1)}, split=(0.9, 0.0, 0.1))


def test_ids_that_read_alike_are_refused():
    message = refusal(Population.from_clients, {1: columns(), "1": columns(), 2: columns()})
    assert "ids: expected every client once, got '1' 2 times; rename or merge" in message


def test_no_clients_are_refused():
    assert "clients: expected at least one client, got none" in refusal(Population.from_clients, {})
    assert "ids: expected at least one client" in refusal(handmade, ids=(), offsets=np.array([0]), groups=None)


def test_groups_must_name_every_client():
    message = refusal(Population.from_clients, {"ada": columns(), "bob": columns()}, groups={"ada": "g"})
    assert "groups" in message
    assert "'bob'" in message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"offsets": np.array([0, 3])}, ["offsets, bounds", "[3]", "got [2]"]),
        ({"offsets": np.array([1, 3, 7])}, ["offsets, bounds", "from 0"]),
        ({"offsets": np.array([[0, 3, 7]])}, ["offsets, bounds", "[1, 3]"]),
        ({"offsets": np.array([0, 8, 7])}, ["client 'bob'", "got -1 rows"]),
        ({"offsets": np.array([0, 3, 8])}, ["array 'x'", "expected 8 rows", "[7, 2]"]),
        ({"bounds": np.array([[1, 2]])}, ["offsets, bounds", "[1, 2]"]),
        ({"bounds": np.array([1, 2])}, ["offsets, bounds", "got [3] and [2]"]),
        ({"bounds": np.array([[0, 2], [2, 3]])}, ["client 'ada'", "at least one train row", "validation from 0"]),
        ({"bounds": np.array([[1, 2], [3, 2]])}, ["client 'bob'", "validation from 3 and test from 2"]),
        ({"bounds": np.array([[1, 4], [2, 3]])}, ["client 'ada'", "got 3 rows", "test from 4"]),
        ({"ids": ("ada", "ada")}, ["ids", "'ada' 2 times"]),
        ({"groups": ("g",)}, ["groups: expected one for each of the 2 clients, got 1"]),
        ({"arrays": {}}, ["arrays: expected at least one, and none called 'mask', got none"]),
        ({"arrays": {"x": np.float32(1)}}, ["array 'x': expected 7 rows, got shape []"]),
        ({"arrays": {"x": np.zeros(7), "y": np.zeros(6)}}, ["array 'y': expected 7 rows, got shape [6]"]),
    ],
)
def test_bad_bookkeeping_is_refused(changes, words):
    message = refusal(handmade, **changes)
    for word in words:
        assert word in message


def test_unknown_names_are_refused():
    people = handmade()
    assert "expected one of train, validation, test, got 'dev'" in refusal(people.sizes, "dev")
    assert "client: expected one of the 2 ids, got 'eve'" in refusal(people.client, "eve")
    assert "client: expected one of the 2 ids, got 'eve'" in refusal(people.row, "eve")


# ---- splits ----


@STEADY
@given(
    sizes=st.lists(st.integers(2, 60), min_size=1, max_size=6),
    weights=st.tuples(st.integers(1, 10), st.integers(0, 10), st.integers(0, 10)),
    seed=st.one_of(st.none(), st.integers(0, 99)),
)
def test_splits_partition_every_client(sizes, weights, seed):
    shares = tuple(weight / sum(weights) for weight in weights)
    people = Population.from_clients(numbered(sizes), shares, seed)
    given_rows = numbered(sizes)
    for client in people.ids:
        parts = [people.client(client, split)["row"] for split in SPLITS]
        assert sorted(np.concatenate(parts)) == given_rows[client]["row"].tolist()
        assert len(parts[0]) >= 1
        assert len(parts[2]) >= (shares[2] > 0)
        assert shares[1] > 0 or len(parts[1]) == 0
        assert shares[2] > 0 or len(parts[2]) == 0
        total = sum(map(len, parts))
        for part, share in zip(parts, shares, strict=True):
            assert abs(len(part) - share * total) < 2  # two roundings, of train and of test rows
        if seed is None:
            np.testing.assert_array_equal(np.concatenate(parts), given_rows[client]["row"])
    for split in SPLITS:
        start, count = people.span(split)
        np.testing.assert_array_equal(count, people.sizes(split))
        found = [people.arrays["row"][s : s + n].tolist() for s, n in zip(start, count, strict=True)]
        assert found == [people.client(client, split)["row"].tolist() for client in people.ids]
    assert sum(people.sizes(split).sum() for split in SPLITS) == people.num_rows == sum(sizes)


@pytest.mark.parametrize(("rows", "split"), [(2, (0.1, 0.0, 0.9)), (3, (0.1, 0.0, 0.9)), (2, (0.2, 0.0, 0.8))])
def test_a_large_test_share_leaves_a_train_row(rows, split):
    people = Population.from_clients({"ada": columns(rows)}, split)
    assert (people.sizes("train")[0], people.sizes("test")[0]) == (1, rows - 1)


def test_seeds():
    clients = numbered([40, 30])
    first, again, other = (Population.from_clients(clients, seed=seed) for seed in (3, 3, 4))
    kept = Population.from_clients(clients, seed=None)
    assert first.checksum() == again.checksum()
    assert len({first.checksum(), other.checksum(), kept.checksum()}) == 3
    np.testing.assert_array_equal(kept.arrays["row"], np.arange(70))


def test_columns_are_shuffled_together():
    people = Population.from_clients({"ada": {"x": np.arange(30.0), "y": np.arange(30)}}, seed=1)
    np.testing.assert_array_equal(people.arrays["x"].astype(int), people.arrays["y"])
    assert (np.diff(people.arrays["y"]) < 0).any()


def test_given_arrays_are_not_written_to():
    clients = {"ada": columns(9)}
    before = {name: array.copy() for name, array in clients["ada"].items()}
    Population.from_clients(clients, seed=2)
    for name, array in before.items():
        np.testing.assert_array_equal(clients["ada"][name], array)


# ---- selections ----


@STEADY
@given(sizes=st.lists(st.integers(2, 9), min_size=2, max_size=6), data=st.data())
def test_take_keeps_clients_whole_and_in_order(sizes, data):
    clients = numbered(sizes)
    people = Population.from_clients(clients, groups={name: f"g{name}" for name in clients}, about=About("n", "t", 3))
    rows = data.draw(st.lists(st.integers(0, len(sizes) - 1), min_size=1, unique=True))
    taken = people.take(rows)
    assert taken.ids == tuple(people.ids[row] for row in rows)
    assert taken.groups == tuple(f"g{name}" for name in taken.ids)
    assert taken.about == people.about
    for client in taken.ids:
        for split in SPLITS:
            np.testing.assert_array_equal(taken.client(client, split)["row"], people.client(client, split)["row"])


def test_take_everybody_changes_nothing():
    people = handmade()
    assert people.take([0, 1]).checksum() == people.checksum()
    assert people.take([1, 0]).checksum() != people.checksum()
    assert "ids" in refusal(people.take, [0, 0])


def test_client_gives_views_of_its_rows():
    people = handmade()
    part = people.client("bob", "validation")
    np.testing.assert_array_equal(part["y"], [5])
    np.testing.assert_array_equal(part["x"], [[10.0, 11.0]])
    assert np.shares_memory(part["x"], people.arrays["x"])
    assert people.row("bob") == 1


# ---- checksum ----

ARRAYS = handmade().arrays


@pytest.mark.parametrize(
    "changes",
    [
        {"arrays": {**ARRAYS, "y": np.array([0, 1, 2, 3, 4, 5, 7], np.int32)}},
        {"arrays": {**ARRAYS, "y": ARRAYS["y"].view(np.uint32)}},
        {"arrays": {**ARRAYS, "x": ARRAYS["x"][:, :, None]}},
        {"arrays": {"x": ARRAYS["x"], "z": ARRAYS["y"]}},
        {"arrays": {"x": ARRAYS["x"]}},
        {"arrays": {**ARRAYS, "z": np.zeros(7)}},
        {"offsets": np.array([0, 4, 7])},
        {"bounds": np.array([[1, 2], [2, 4]])},
        {"bounds": np.array([[2, 2], [2, 3]])},
        {"ids": ("ada", "bib")},
        {"ids": ("bob", "ada")},
        {"groups": ("g", "g")},
        {"groups": None},
    ],
)
def test_checksum_sees_every_change(changes):
    assert handmade(**changes).checksum() != handmade().checksum()


def test_checksum_looks_at_values_only():
    people = handmade()
    strided = {name: np.repeat(array, 2, axis=0)[::2] for name, array in ARRAYS.items()}
    assert not strided["y"].flags.c_contiguous
    reversed_names = dict(reversed(list(strided.items())))
    same = replace(people, arrays=reversed_names, offsets=people.offsets.astype(np.int32))
    assert same.checksum() == people.checksum()
    assert len(people.checksum()) == 64


def test_a_large_population_is_made_in_no_time():
    rows = np.random.default_rng(0).normal(size=(100_000, 20)).astype(np.float32)
    clients = {index: {"x": part} for index, part in enumerate(np.split(rows, 5_000))}
    begin = time.perf_counter()
    people = Population.from_clients(clients)
    people.checksum()
    assert time.perf_counter() - begin < 5
    assert (people.num_clients, people.num_rows) == (5_000, 100_000)
