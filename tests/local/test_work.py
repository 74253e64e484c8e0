"""`Work`: exactly one measure of work, whole numbers, and steps counted by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfljax.errors import PflError
from pfljax.local import Work

STEADY = settings(deadline=None, derandomize=True, max_examples=50)


@pytest.mark.parametrize("arguments", [{}, {"epochs": 1, "steps": 1}, {"batch": 4}])
def test_exactly_one_of_epochs_and_steps(arguments):
    with pytest.raises(PflError, match=r"epochs, steps: expected exactly one of them, got epochs=.+, steps="):
        Work(**arguments)


@pytest.mark.parametrize("value", [0, -3, 1.0, "2", float("nan")])
@pytest.mark.parametrize("name", ["epochs", "steps", "batch"])
def test_what_is_no_positive_whole_number_is_refused(name, value):
    arguments = {name: value} if name != "batch" else {"epochs": 1, "batch": value}
    with pytest.raises(PflError, match=f"{name}: expected a whole number of at least 1, got"):
        Work(**arguments)


@pytest.mark.parametrize(
    ("work", "steps"),
    [
        (Work(epochs=1, batch=10), [0, 1, 1, 2, 10]),
        (Work(epochs=3, batch=10), [0, 3, 3, 6, 30]),
        (Work(epochs=3, batch=1), [0, 3, 30, 33, 300]),
        (Work(epochs=3, batch=None), [0, 3, 3, 3, 3]),
        (Work(steps=5, batch=10), [0, 5, 5, 5, 5]),
        (Work(steps=5, batch=None), [0, 5, 5, 5, 5]),
        (Work(epochs=np.int64(2)), [0, 2, 2, 2, 8]),
    ],
)
def test_steps_by_hand(work, steps):
    found = work.num_steps(np.array([0, 1, 10, 11, 100]))
    np.testing.assert_array_equal(found, steps)
    assert found.dtype == np.int32


@STEADY
@given(counts=st.lists(st.integers(0, 10**6), max_size=5), epochs=st.integers(1, 50), batch=st.integers(1, 1000))
def test_an_epoch_is_enough_batches_for_all_rows(counts, epochs, batch):
    steps = Work(epochs=epochs, batch=batch).num_steps(np.array(counts, np.int64))
    for count, found in zip(counts, steps.tolist(), strict=True):
        assert found % epochs == 0
        assert count <= found // epochs * batch < count + batch


@pytest.mark.parametrize(
    ("work", "count"),
    [
        (Work(epochs=2**16, batch=1), 2**15),
        (Work(epochs=2**30, batch=1), 2**34),  # the product leaves int64 too
    ],
)
def test_more_steps_than_int32_counts_are_refused(work, count):
    with pytest.raises(PflError, match="expected at most 2147483647 steps a client, got"):
        work.num_steps(np.array([count]))


@pytest.mark.parametrize("arguments", [{"epochs": 2**31}, {"steps": 2**64}, {"steps": 1, "batch": True}])
def test_numbers_beyond_int32_and_booleans_are_refused_at_once(arguments):
    with pytest.raises(PflError, match="expected a whole number"):
        Work(**arguments)


def test_the_most_steps_that_int32_counts():
    assert Work(steps=2**31 - 1).num_steps(np.array([7])) == [2**31 - 1]
