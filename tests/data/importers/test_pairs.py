"""`join`: train and test files as one population, against plain loops; clients in one file only."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfljax.data.importers.pairs import Cut, File, join
from pfljax.data.population import About
from tests.support.federated import assert_holds, expected, refusal

STEADY = settings(deadline=None, derandomize=True, max_examples=60)
PLAIN = Cut((0.6, 0.2, 0.2), 0, "refuse", 0)

sizes = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 12), min_size=1, max_size=6)
shares = st.sampled_from([(0.6, 0.2, 0.2), (0.5, 0.5, 0.0), (1.0, 0.0, 0.0), (0.1, 0.8, 0.1), (0.7, 0.0, 0.3)])


def numbered(counts: dict[str, int], start: int = 0) -> dict[str, dict[str, np.ndarray]]:
    """Clients whose rows are numbered through from `start`."""
    tables = {}
    for client, num in counts.items():
        row = np.arange(start, start + num, dtype=np.int32)
        tables[client] = {"row": row, "x": np.stack([row, row], 1).astype(np.float32)}
        start += num
    return tables


def file(name: str, tables: dict) -> File:
    return File(name, {client: len(table["row"]) for client, table in tables.items()}, tables.__getitem__)


def joined(train: dict, test: dict | None, cut: Cut = PLAIN, **options):
    sides = [file("a.bin", train)] if test is None else [file("a.bin", train), file("b.bin", test)]
    return join(sides, cut, About("made"), **options)


@STEADY
@given(sizes, st.none() | sizes, shares, st.none() | st.integers(0, 5))
def test_rows_are_those_of_a_plain_loop(first, second, split, seed):
    """Clients that cannot be cut are left out by min_rows; the others have exactly the loop's rows."""
    train, test = numbered(first), None if second is None else numbered(second, 1000)
    large = {c for c in {**first, **(second or {})} if first.get(c, 0) + (second or {}).get(c, 0) >= 2}
    keep = lambda tables: None if tables is None else {c: table for c, table in tables.items() if c in large}
    if not large:
        assert "at least one client to be left" in refusal(joined, train, test, Cut(split, seed, "cut", 2))
        return
    population = joined(train, test, Cut(split, seed, "cut", 2))
    assert_holds(population, expected(keep(train), keep(test), split, seed))
    assert population.about == About("made")


def test_units_stay_together_in_one_split():
    """Rows 0..3, 4..5, 6..8 and 9 are units: each lies in one split, in its own order."""
    lengths = {"a": np.array([4, 2, 3, 1])}
    for seed in (None, 0, 1, 2, 3):
        table = numbered({"a": 10})
        only = File("a.bin", {"a": 10}, table.__getitem__, lengths)
        population = join([only], Cut((0.5, 0.25, 0.25), seed, "refuse", 0), About())
        units = [[0, 1, 2, 3], [4, 5], [6, 7, 8], [9]]
        parts = [population.client("a", split)["row"].tolist() for split in ("train", "validation", "test")]
        assert [sum(unit[0] in part for unit in units) for part in parts] == [2, 1, 1]
        for part in parts:
            inside = sorted((unit for unit in units if unit[0] in part), key=lambda unit: part.index(unit[0]))
            assert part == [row for unit in inside for row in unit]
        if seed is None:
            assert parts == [[0, 1, 2, 3, 4, 5], [6, 7, 8], [9]]


TRAIN, TEST = numbered({"a": 5, "b": 4, "empty": 0}), numbered({"c": 3, "a": 2, "empty": 0}, 100)


def test_clients_in_one_file_are_refused_by_default():
    message = refusal(joined, TRAIN, TEST)
    assert message.startswith("a.bin and b.bin, client 'b'")
    assert "for 2 clients more" in message
    assert 'incomplete="leave out"' in message


def test_clients_in_one_file_are_left_out_on_request():
    population = joined(TRAIN, TEST, PLAIN._replace(incomplete="leave out"))
    assert_holds(population, expected({"a": TRAIN["a"]}, {"a": TEST["a"]}))


def test_clients_in_one_file_are_cut_on_request():
    population = joined(TRAIN, TEST, PLAIN._replace(incomplete="cut", min_rows=1))
    assert population.ids == ("a", "b", "c")
    assert [population.sizes(split).tolist() for split in ("train", "validation", "test")] == [
        [4, 2, 2],
        [1, 1, 0],
        [2, 1, 1],
    ]


@pytest.mark.parametrize("split", [(0.6, 0.2, 0.2), (1.0, 0.0, 0.0)])
def test_a_client_without_rows_cannot_be_cut(split):
    message = refusal(joined, numbered({"a": 5, "empty": 0}), None, PLAIN._replace(split=split))
    assert message.startswith("a.bin, client 'empty'")
    assert "min_rows" in message


def test_a_client_with_one_row_is_named_with_its_file():
    assert refusal(joined, numbered({"a": 5, "b": 1}), None).startswith("a.bin, client 'b': expected at least 2")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"row": np.arange(4, dtype=np.int32)}, "expected 5 rows in 'row', got shape [4]"),
        ({"row": np.arange(5, dtype=np.int64)}, "row: int32[], x: float32[2], got row: int64[], x: float32[2]"),
        ({"x": np.ones((5, 3), np.float32)}, "x: float32[2], got row: int32[], x: float32[3]"),
        ({"z": np.ones(5)}, "z: float64[]"),
    ],
)
def test_tables_that_differ_from_the_first_are_refused(change, words):
    tables = numbered({"a": 5, "b": 5})
    tables["b"] |= change
    made = File("a.bin", {"a": 5, "b": 5}, tables.__getitem__)
    message = refusal(join, [made], PLAIN, About())
    assert message.startswith("a.bin, client 'b'")
    assert words in message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"incomplete": "leave"}, "did you mean 'leave out'?"),
        ({"min_rows": -1}, "min_rows: expected a whole number of at least 0"),
        ({"min_rows": 100}, "a.bin: expected at least one client to be left, got none of 1"),
        ({"split": (0.5, 0.2, 0.2)}, "three shares that sum to 1"),
        ({"seed": -1}, "seed: expected"),
    ],
)
def test_bad_arguments_are_refused(change, words):
    assert words in refusal(joined, numbered({"a": 5}), None, PLAIN._replace(**change))


@pytest.mark.parametrize("client", ["a", "b"])
def test_tables_without_columns_are_refused(client):
    tables = numbered({"a": 5, "b": 5}) | {client: {}}
    message = refusal(join, [File("a.bin", {"a": 5, "b": 5}, tables.__getitem__)], PLAIN, About())
    assert message == f"a.bin, client {client!r}: expected at least one column, got none"


def test_groups_follow_their_clients():
    population = joined(numbered({"b": 5, "a": 5}), None, groups={"a": "g", "b": "h", "c": "i"})
    assert population.groups == ("h", "g")
