"""`audit`: rows in more than one split, against a plain loop over all of them."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfljax.data import audit, load, require_clean
from pfljax.data.population import Population
from pfljax.plan import hold_out
from tests.support.refusal import refusal

SPLITS = ("train", "validation", "test")
PAIRS = (("train", "validation"), ("train", "test"), ("validation", "test"))
STEADY = settings(deadline=None, derandomize=True, max_examples=100)


def by_hand(population: Population, seen: np.ndarray) -> dict[str, np.ndarray | int]:
    """The counts, row by row."""
    rows = []  # (client, split, the row's values)
    for client, name in enumerate(population.ids):
        for split in SPLITS:
            mine = population.client(name, split)
            size = len(next(iter(mine.values())))
            rows += [(client, split, tuple(tuple(mine[key][i].ravel().tolist()) for key in mine)) for i in range(size)]
    counts = {name: np.zeros((population.num_clients, 3), int) for name in ("within", "between")}
    unseen = np.zeros(population.num_clients, int)
    for client, split, value in rows:
        for index, (earlier, later) in enumerate(PAIRS):
            if split == later:
                holders = {other for other, its, same in rows if its == earlier and same == value}
                counts["within"][client, index] += client in holders
                counts["between"][client, index] += bool(holders - {client})
        if not seen[client]:
            unseen[client] += any(seen[other] and same == value for other, _, same in rows)
    return {**counts, "unseen": unseen, "num_distinct": len({value for _, _, value in rows})}


@st.composite
def populations(draw) -> Population:
    """Few different values, so that rows repeat; arrays of several dtypes and shapes."""
    dtypes = draw(st.lists(st.sampled_from(["u1", "i2", "i4", "i8", "f2", "f4", "f8", "?"]), min_size=1, max_size=3))
    shapes = [draw(st.sampled_from([(), (1,), (3,), (2, 5), (0,)])) for _ in dtypes]
    values = draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    clients = {}
    for client in range(draw(st.integers(1, 5))):
        num = draw(st.integers(2, 9))
        chosen = rng.integers(0, values, num)
        clients[f"c{client}"] = {
            f"a{i}": (np.broadcast_to(chosen.reshape(num, *[1] * len(shape)), (num, *shape)) // (i + 1)).astype(dtype)
            for i, (dtype, shape) in enumerate(zip(dtypes, shapes, strict=True))
        }
    return Population.from_clients(clients, split=draw(st.sampled_from([(0.6, 0.2, 0.2), (0.4, 0.0, 0.6), (1, 0, 0)])))


@STEADY
@given(populations(), st.integers(0, 31))
def test_counts_are_those_of_a_loop(population, bits):
    seen = np.array([bool(bits >> client & 1) for client in range(population.num_clients)])
    report, expected = audit(population, seen), by_hand(population, seen)
    for name, counts in expected.items():
        np.testing.assert_array_equal(getattr(report, name), counts, name)
    np.testing.assert_array_equal(report.sizes, np.stack([population.sizes(split) for split in SPLITS], 1))
    assert audit(population).unseen is None
    for scope in ("within", "between", "unseen"):
        assert (scope in report.copies) == bool(np.sum(expected[scope]))
    for scope, (row, of) in report.copies.items():
        mine, other = population.client(*row[:2]), population.client(*of[:2])
        assert all((mine[name][row[2]] == other[name][of[2]]).all() for name in mine)
        if scope == "unseen":
            assert not seen[population.row(row[0])]
            assert seen[population.row(of[0])]
        else:
            assert SPLITS.index(of[1]) < SPLITS.index(row[1])
            assert (row[0] == of[0]) == (scope == "within")


def planted(num: int = 40, dtype: str = "f4") -> Population:
    """Two clients of 20 rows that all differ, but for those that a test plants."""
    x = np.arange(num * 3).reshape(num, 3).astype(dtype)
    flat = {"x": x, "y": np.arange(num, dtype=np.int32)}
    return Population.from_flat(flat, np.array([0, num // 2, num]), ("ada", "bob"), seed=None)


def copied(population: Population, row: int, of: int, names=("x", "y")) -> Population:
    arrays = {name: array.copy() for name, array in population.arrays.items()}
    for name in names:
        arrays[name][row] = arrays[name][of]
    return replace(population, arrays=arrays)


def test_nothing_is_found_where_all_rows_differ():
    report = require_clean(planted(), "population", np.array([True, False]))
    assert (report.within.sum(), report.between.sum(), report.num_distinct, report.copies) == (0, 0, 40, {})


def test_a_planted_row_is_counted_and_shown():
    """ada: train 0..11, validation 12..15, test 16..19; bob: the same from 20."""
    people = copied(planted(), 18, 5)
    report = audit(people)
    np.testing.assert_array_equal(report.within, [[0, 1, 0], [0, 0, 0]])
    assert report.between.sum() == 0
    assert report.copies == {"within": (("ada", "test", 2), ("ada", "train", 5))}
    message = refusal(require_clean, people)
    assert "expected every row in one split, got 1 of 1 clients that also stand in another split" in message
    assert "the test row 2 of client 'ada' equals the train row 5 of client 'ada'" in message
    assert "the test row 2 of client 'ada' equals the train row 5 of client 'ada'" in str(report)


def test_copies_between_clients_are_told_apart():
    people = copied(copied(planted(), 34, 5), 21, 7)  # bob's validation 2 and train 1 are ada's train 5 and 7
    report = require_clean(people)
    np.testing.assert_array_equal(report.between, [[0, 0, 0], [1, 0, 0]])
    message = refusal(require_clean, people, "population")
    assert "got 1 of 1 clients that also stand in another split of another client" in message
    assert "the validation row 2 of client 'bob' equals the train row 5 of client 'ada'" in message
    np.testing.assert_array_equal(audit(people, np.array([True, False])).unseen, [0, 2])


def test_the_same_split_of_a_seen_and_an_unseen_client():
    people = copied(planted(), 21, 7)
    require_clean(people, "population")
    message = refusal(require_clean, people, "population", np.array([True, False]))
    assert "got 1 of 1 clients that also stand in a seen client" in message
    assert "the train row 1 of client 'bob' equals the train row 7 of client 'ada'" in message


@pytest.mark.parametrize("names", [["x"], ["y"]])
def test_a_row_is_all_of_its_arrays(names):
    assert not audit(copied(planted(), 18, 5, names)).copies


def test_the_two_zeros_are_one():
    people = planted()
    people.arrays["x"][5], people.arrays["x"][18] = 0.0, -0.0
    people.arrays["y"][18] = people.arrays["y"][5]
    assert audit(people).within.sum() == 1


def test_what_is_not_even_itself_is_compared_by_its_bits():
    people = planted()
    people.arrays["x"][[5, 18]] = np.nan  # written after the population was checked
    people.arrays["y"][18] = people.arrays["y"][5]
    assert audit(people).within.sum() == 1


@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "f8"])
def test_long_arrays_are_read_in_parts(dtype):
    """Wide rows, so that a part holds a few of them; the last bytes differ alone."""
    x = np.zeros((200, 5001), dtype)
    x[:, -1] = np.arange(200)
    people = Population.from_flat({"x": x}, np.array([0, 100, 200]), ("ada", "bob"), seed=None)
    assert audit(people).num_distinct == 200
    x[99, -1] = 17
    assert audit(replace(people, arrays={"x": x})).copies == {"within": (("ada", "test", 19), ("ada", "train", 17))}


def test_rows_of_one_hash_are_compared(monkeypatch):
    """A hash that means nothing at first: other hashes are tried until rows of one hash are equal."""
    module, attempts = sys.modules["pfljax.data.audit"], []
    true = module._hashes

    def poor(arrays, attempt):
        attempts.append(attempt)
        return true(arrays, attempt) % np.uint64([1, 3, 2**63][min(attempt, 2)])

    monkeypatch.setattr(module, "_hashes", poor)
    assert audit(copied(planted(), 18, 5)).within.sum() == 1
    assert attempts == [0, 1, 2]


def test_mapped_arrays_are_audited(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(40, dtype=np.int16) % 19)
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    people = Population.from_flat({"x": x}, np.array([0, 20, 40]), ("ada", "bob"), seed=None)
    np.testing.assert_array_equal(audit(people).within, by_hand(people, np.ones(2, bool))["within"])


def test_bad_arguments_are_refused():
    assert "seen: expected [2] bool, got int64[2]" in refusal(audit, planted(), np.array([0, 1]))
    assert "seen: expected [2] bool, got bool[3]" in refusal(audit, planted(), np.ones(3, bool))
    assert "scope: expected 'client' or 'population', got 'all'" in refusal(require_clean, planted(), "all")


def test_windows_of_motion_are_in_one_split():
    people = load("wearable")
    assert require_clean(people, "population", hold_out(people, 0.2, 0)).num_distinct == people.num_rows


def test_short_contexts_of_text_repeat():
    """Six characters and the next one: most are natural repetitions ("the file", in every app), so no leak."""
    report = audit(load("keyboard"))
    assert report.within.sum(axis=0).tolist() == [138_616, 138_802, 79_195]
    assert report.num_distinct == 575_170
