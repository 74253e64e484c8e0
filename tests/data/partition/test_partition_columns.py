"""Partitions by a column: keys of every kind, and time."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfljax.data import partition
from pfljax.errors import PflError

STEADY = settings(deadline=None, derandomize=True, max_examples=60)
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=3)


def refusal(make, *arguments, **options) -> str:
    with pytest.raises(PflError) as error:
        make(*arguments, **options)
    assert re.search(r"expected .+ got .+", str(error.value))
    return str(error.value)


@STEADY
@given(
    keys=st.one_of(
        st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=30),
        st.lists(st.sampled_from([3, -1, 7]), min_size=1, max_size=30),
        st.lists(NAMES, min_size=1, max_size=30),
        st.lists(st.sampled_from(["ada", "böb", "あ"]), min_size=1, max_size=30),
        st.lists(NAMES.map(str.encode), min_size=1, max_size=30),
    ),
    least=st.integers(1, 3),
    is_object=st.booleans(),
)
def test_every_key_has_its_rows(keys, least, is_object):
    array = np.array(keys, object) if is_object else np.array(keys)
    rows: dict = {}
    for row, key in enumerate(keys):
        rows.setdefault(key, []).append(row)
    kept = {key: where for key, where in sorted(rows.items()) if len(where) >= least}
    if not kept:
        assert "expected a client with at least" in refusal(partition.by_column, array, min_size=least)
        return
    made = partition.by_column(array, min_size=least)
    assert made.ids == tuple(key.decode() if isinstance(key, bytes) else str(key) for key in kept)
    for name, where in zip(made.ids, kept.values(), strict=True):
        assert made.client(name).tolist() == where
    assert made.num_rows == len(keys)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (np.array([b"ada", b"b\xff"]), "keys: expected UTF-8, got b'b\\xff' in row 1"),
        (np.array([b"ada", b"b\xff"], object), "keys: expected UTF-8, got b'b\\xff' in row 1"),
        (np.array(["ada", "b\udcff"]), "keys: expected UTF-8, got 'b\\udcff' in row 1"),
        (np.array([1.0, 2.0]), "keys: expected str, bytes or whole numbers, got dtype float64"),
        (np.array([1.0, np.nan]), "got dtype float64"),
        (np.array([True, False]), "got dtype bool"),
        (np.array(["ada", None, "ada"], object), "got None, a NoneType, in row 1 after a str"),
        (np.array(["ada", np.nan], object), "got nan, a float, in row 1 after a str"),
        (np.array(["ada", 3], object), "got 3, a int, in row 1 after a str"),
        (np.array([("ada",), ("bob",)], dtype=object)[:, 0][:0], "got shape [0]"),
        (np.array([["ada"]]), "got shape [1, 1]"),
        (np.array(["ada", "", "ada"]), "got an empty key in row 1"),
        (np.array([b"ada", b""]), "got an empty key in row 1"),
        (np.array(["ada", "ada\0"], object), "expected none with a zero character"),
        (np.array([2**70, 1], object), "got dtype object"),
        (np.array(["2020-01-01"], "datetime64[D]"), "got dtype datetime64"),
    ],
)
def test_bad_keys_are_refused(keys, words):
    assert words in refusal(partition.by_column, keys)


def test_small_clients_are_left_out():
    made = partition.by_column(np.array([5, 5, 5, 7, 9, 9]))
    assert made.ids == ("5", "9")
    assert made.rows.tolist() == [0, 1, 2, 4, 5]
    assert "expected a client with at least 4 rows, got 3 with at most 3" in refusal(
        partition.by_column, np.array([5, 5, 5, 7, 9, 9]), min_size=4
    )


@STEADY
@given(
    times=st.lists(st.integers(-5, 5), min_size=2, max_size=40),
    kind=st.sampled_from(["i8", "f4", "M8[s]"]),
    data=st.data(),
)
def test_periods_follow_each_other(times, kind, data):
    periods = data.draw(st.integers(1, len(times) // 2))
    made = partition.temporal(np.array(times).astype(kind), periods)
    order = sorted(range(len(times)), key=lambda row: (times[row], row))
    assert made.rows.tolist() == order
    assert made.sizes.max() - made.sizes.min() <= 1
    assert made.ids == tuple(map(str, range(periods)))


@STEADY
@given(
    rows=st.lists(st.tuples(st.integers(0, 9), st.sampled_from("abc")), min_size=6, max_size=60),
    periods=st.integers(1, 3),
)
def test_periods_of_clients(rows, periods):
    times, keys = np.array([time for time, _ in rows]), np.array([key for _, key in rows])
    kept = {key: np.flatnonzero(keys == key) for key in sorted(set(keys.tolist()))}
    kept = {key: where for key, where in kept.items() if len(where) >= 2 * periods}
    if not kept:
        assert "expected a client with at least" in refusal(partition.temporal, times, periods, keys=keys)
        return
    made = partition.temporal(times, periods, keys=keys)
    assert made.ids == tuple(f"{key}/{period}" for key in kept for period in range(periods))
    assert made.groups == tuple(key for key in kept for _ in range(periods))
    for key, where in kept.items():
        parts = [made.client(f"{key}/{period}").tolist() for period in range(periods)]
        assert [row for part in parts for row in part] == sorted(where.tolist(), key=lambda row: (times[row], row))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_nothing_is_drawn():
    when = np.array([3, 1, 2, 0, 5, 4, 9, 8])
    assert partition.temporal(when, 3).sha256() == "3453889aeb8862359610b1893001ef90f53dceebc2eb70256de5007c82d430fd"
    assert (
        partition.by_column(np.array(["b", "a", "b", "a"])).sha256()
        == "dffbc7107eb226c84e9c3acf6f83d1e6ff7a63a47b90e44da211a3a6856373bb"
    )
    assert partition.temporal(when, 2).seed is None


def test_the_past_trains_and_the_future_tests():
    when = np.random.default_rng(0).permutation(40)
    people = partition.temporal(when, 2).apply({"t": when}, seed=None)
    for name in people.ids:
        assert people.client(name)["t"].max() < people.client(name, "test")["t"].min()


@pytest.mark.parametrize(
    ("times", "words"),
    [
        (np.array([0.0, np.nan, 1, 2]), "times: expected finite times, got nan in row 1"),
        (np.array([0.0, np.inf, 1, 2]), "got inf in row 1"),
        (np.array(["2020-01-01", "NaT"] * 2, "datetime64[D]"), "got NaT in row 1"),
        (np.array(["a", "b"]), "times: expected numbers or datetime64, got dtype <U1"),
        (np.array([1, 2, 3]), "num_periods: expected at most 1, for 3 rows"),
    ],
)
def test_bad_times_are_refused(times, words):
    assert words in refusal(partition.temporal, times, 2)


def test_bad_arguments_of_temporal_are_refused():
    when = np.arange(8)
    assert "keys: expected one for each of the 8 times, got 2" in refusal(
        partition.temporal, when, 2, keys=np.array([1, 1])
    )
    assert "num_periods" in refusal(partition.temporal, when, 0)
    assert "min_size" in refusal(partition.temporal, when, 2, min_size=0)
    assert "got dtype float64" in refusal(partition.temporal, when, 2, keys=np.ones(8))
