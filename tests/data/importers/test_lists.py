"""`lists`: one array per client, against `from_clients`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfljax.data.importers import lists
from pfljax.data.population import About, Population
from tests.support.refusal import refusal

STEADY = settings(deadline=None, derandomize=True, max_examples=40)


@STEADY
@given(
    st.lists(st.integers(2, 7), min_size=1, max_size=5),
    st.integers(0, 3) | st.none(),
    st.sampled_from([np.uint8, np.float16, np.float32, np.int32, np.bool_]),
)
def test_lists_give_what_clients_give(sizes, seed, dtype):
    rng = np.random.default_rng(len(sizes))
    x = [rng.integers(0, 2, (size, 3, 2)).astype(dtype) for size in sizes]
    y = [rng.integers(0, 4, size).astype(np.int32) for size in sizes]
    ids = [f"c{index}" for index in range(len(sizes))]
    groups = {name: f"g{index % 2}" for index, name in enumerate(ids)}
    made = {name: {"x": a, "y": b} for name, a, b in zip(ids, x, y, strict=True)}
    num_classes = max(int(part.max()) for part in y) + 1
    expected = Population.from_clients(made, seed=seed, groups=groups, about=About(num_classes=num_classes))
    people = lists(x=x, y=y, ids=ids, label="y", groups=list(groups.values()), seed=seed)
    assert people.ids == tuple(ids)
    assert people.checksum() == expected.checksum()


def test_clients_are_numbered_where_they_have_no_names():
    people = lists(x=[[[1.0], [2.0]]] * 11, y=[["no", "yes"]] * 11, label="y")
    assert people.ids == tuple(map(str, range(11)))
    assert people.about.num_classes == 2
    assert {name: array.dtype for name, array in people.arrays.items()} == {"x": np.float32, "y": np.int32}
    assert lists(x=[[1, 2]], y=[[3, 4]]).about.num_classes == 0


FINE = [np.ones((2, 3)), np.ones((3, 3))]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, ["lists: expected named lists such as x=[...], y=[...], got none"]),
        ({"x": 3}, ["x: expected a list of one array per client, got a int"]),
        ({"x": []}, ["x: expected a list of one array per client, got an empty one"]),
        ({"x": FINE, "y": [np.ones(2)]}, ["y: expected one array for each of the 2 clients of x, got 1"]),
        ({"x": FINE, "y": [np.ones(2), np.ones(2)]}, ["client '1': expected 3 rows of y as of x, got 2"]),
        ({"x": FINE, "ids": ["a"]}, ["ids: expected one for each of the 2 clients, got 1"]),
        ({"x": FINE, "ids": ["a", "a"]}, ["ids: expected every client once, got 'a' 2 times"]),
        ({"x": FINE, "groups": ["a"]}, ["groups: expected one for each of the 2 clients, got 1"]),
        ({"x": [np.ones((2, 3)), np.ones((2, 4))]}, ["client '1', column 'x'", "float64[3]", "got float64[4]"]),
        ({"x": [np.ones(2), np.ones(2, np.float32)]}, ["client '1', column 'x'", "float64[]", "got float32[]"]),
        ({"x": [[[1, 2], [3]], [[1, 2]]]}, ["client '0': expected x as a rectangular array, got a ragged list"]),
        ({"x": [1.0, 2.0]}, ["client '0': expected x as an array [example, ...], got 1.0"]),
        ({"x": [[], []]}, ["x: expected at least one row, got 2 empty arrays"]),
        ({"x": [np.ones(0), np.ones(2)]}, ["client '0': expected at least 2 examples (train and test), got none"]),
        ({"x": [[1.0, 2.0], [1.0, np.nan]]}, ["column 'x', row 1, client '1': expected a value, got a missing one"]),
        ({"x": [[1.0, 2.0], [np.inf, 1.0]]}, ["column 'x', row 0, client '1': expected finite numbers, got inf"]),
        ({"x": FINE, "label": "y"}, ["lists: expected a column 'y', got x"]),
        ({"t": [[1, 2], [3, -4]], "label": "t"}, ["column 't', row 1, client '1': expected classes from 0, got -4"]),
        ({"t": [[1, 2]], "y": [[1, 2]], "label": "t"}, ["columns: expected none called 'y'"]),
        ({"x": [["a", "b"]]}, ["column 'x', row 0, client '0': expected a number, got 'a'"]),
        ({"x": [np.array([{}, []], object)]}, ["column 'x'"]),
        ({"mask": [[1, 2]]}, ["none called 'mask'"]),
        ({"x": FINE, "split": (0.9, 0.2, 0)}, ["split: expected three shares"]),
    ],
)
def test_bad_lists_are_refused(options, words):
    message = refusal(lists, **options)
    for word in words:
        assert word in message
