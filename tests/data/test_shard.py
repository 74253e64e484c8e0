"""`Rows`: batches, disjoint parts and sums over one client's rows, and never anybody else's."""

import math
from collections import Counter
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfljax.data.shard import Rows, tile_of

LENGTH = 90  # rows of the arrays that a client lies in
MOST = 64  # rows of the largest client
NUM_STEPS = 24
CUTS = [(4, 3), (5, 2)]  # batch size, number of parts
STEADY = settings(deadline=None, derandomize=True, max_examples=25)

counts = st.integers(1, MOST)
starts = st.integers(0, LENGTH - MOST)
seeds = st.integers(0, 99)


def poisoned(start: int, count: int, length: int = LENGTH) -> dict[str, np.ndarray]:
    """A client's rows, numbered from 0; everybody else's are NaN and -1."""
    x, row = np.full((length, 2), np.nan, np.float32), np.full(length, -1, np.int32)
    row[start : start + count] = np.arange(count)
    x[start : start + count] = np.arange(count)[:, None]
    return {"x": x, "row": row}


def rows_of(arrays, start, count, max_count: int = MOST) -> Rows:
    return Rows(arrays, start, count, max_count)


@partial(jax.jit, static_argnames="size")
def many_batches(arrays, start, count, key, steps, size):
    return jax.vmap(lambda step: rows_of(arrays, start, count).batch(key, step, size))(steps)


@partial(jax.jit, static_argnames=("size", "num_parts"))
def many_disjoint(arrays, start, count, key, steps, size, num_parts):
    return jax.vmap(lambda step: rows_of(arrays, start, count).disjoint(key, step, size, num_parts))(steps)


def batches(start: int, count: int, seed: int, steps: np.ndarray, size: int) -> dict[str, np.ndarray]:
    """{name: [step, size]} of one client; its own rows only, padding included."""
    at, num = np.int32(start), np.int32(count)
    made = many_batches(poisoned(start, count), at, num, jax.random.key(seed), steps.astype(np.int32), size)
    return assert_clean(made)


def parts(start: int, count: int, seed: int, size: int | None, num_parts: int, num_steps: int = NUM_STEPS):
    """[part] of {name: [step, size]} of one client; its own rows only, padding included."""
    at, num, steps = np.int32(start), np.int32(count), np.arange(num_steps, dtype=np.int32)
    made = many_disjoint(poisoned(start, count), at, num, jax.random.key(seed), steps, size, num_parts)
    return [assert_clean(part) for part in made]


def assert_clean(batch: dict) -> dict[str, np.ndarray]:
    """Nothing of the neighbours, not even under the mask, and all columns from the same rows."""
    batch = {name: np.asarray(array) for name, array in batch.items()}
    assert (batch["row"] >= 0).all()
    np.testing.assert_array_equal(batch["x"], np.repeat(batch["row"][..., None], 2, axis=-1))
    return batch


# ---- batch ----


@STEADY
@given(count=counts, start=starts, seed=seeds, epoch=st.integers(0, 5), size=st.sampled_from([1, 7, 100]))
def test_an_epoch_visits_every_row_once(count, start, seed, epoch, size):
    num_batches = -(-count // size)
    made = batches(start, count, seed, epoch * num_batches + np.arange(MOST), size)
    row, mask = made["row"][:num_batches], made["mask"][:num_batches]
    assert sorted(row[mask]) == list(range(count))
    assert mask[:-1].all()
    assert mask[-1].sum() == count - (num_batches - 1) * size
    assert (np.diff(mask[-1].astype(int)) <= 0).all()


def test_epochs_and_keys_have_orders_of_their_own():
    first = batches(3, 60, 0, np.arange(MOST), 100)["row"][:, :60]
    assert len({tuple(order) for order in first}) == MOST
    assert not np.array_equal(first, batches(3, 60, 1, np.arange(MOST), 100)["row"][:, :60])


def test_a_batch_does_not_depend_on_where_the_client_lies():
    near, far = (batches(start, 23, 4, np.arange(MOST), 7) for start in (0, LENGTH - MOST))
    for name in near:
        np.testing.assert_array_equal(near[name], far[name])


def test_a_client_without_rows_gives_an_empty_batch():
    made = many_batches(
        poisoned(0, MOST), np.int32(5), np.int32(0), jax.random.key(0), np.arange(MOST, dtype=np.int32), 7
    )
    assert not np.asarray(made["mask"]).any()
    assert made["x"].shape == (MOST, 7, 2)


def test_reading_one_row_too_many_would_show():
    """A control: the poison is found where a client's count is wrong by one."""
    made = many_batches(poisoned(3, 8), np.int32(3), np.int32(9), jax.random.key(0), np.arange(MOST, dtype=np.int32), 7)
    with pytest.raises(AssertionError):
        assert_clean(made)


# ---- disjoint ----


@STEADY
@given(count=counts, start=starts, seed=seeds, cut=st.sampled_from(CUTS))
def test_parts_of_a_step_share_no_row(count, start, seed, cut):
    size, num_parts = cut
    made = parts(start, count, seed, size, num_parts)
    share = count // num_parts
    for step in range(NUM_STEPS):
        chosen = [part["row"][step][part["mask"][step]].tolist() for part in made]
        for rows in chosen:
            assert len(set(rows)) == len(rows)
            assert min(size, max(share, 1)) <= len(rows) <= min(size, share + 1)
        if count >= num_parts:
            assert len(set().union(*chosen)) == sum(map(len, chosen))


@STEADY
@given(count=counts, start=starts, seed=seeds, num_parts=st.sampled_from([2, 3]))
def test_without_a_size_the_parts_are_all_rows(count, start, seed, num_parts):
    made = parts(start, count, seed, None, num_parts)
    orders = set()
    for step in range(NUM_STEPS):
        chosen = [part["row"][step][part["mask"][step]].tolist() for part in made]
        if count >= num_parts:
            assert sorted(row for rows in chosen for row in rows) == list(range(count))
            assert max(map(len, chosen)) - min(map(len, chosen)) <= 1
        orders.add(str(chosen))
    assert len(orders) > NUM_STEPS // 2 or count < 6


@pytest.mark.parametrize(("size", "num_parts"), [*CUTS, (None, 2), (None, 3)])
def test_one_row_stands_in_for_all_parts(size, num_parts):
    for part in parts(7, 1, 0, size, num_parts):
        assert (part["mask"].sum(axis=1) == 1).all()
        assert (part["row"] == 0).all()


def test_two_rows_for_three_parts_are_both_used():
    made = parts(7, 2, 0, 4, 3)
    together = np.stack([part["row"][:, 0] for part in made])
    assert (np.array([part["mask"].sum(axis=1) for part in made]) == 1).all()
    assert ((together.min(axis=0) == 0) & (together.max(axis=0) == 1)).all()


@pytest.mark.parametrize(("count", "size", "num_parts"), [(40, 5, 2), (41, 5, 2), (37, 4, 3)])
def test_an_epoch_of_parts_visits_every_row(count, size, num_parts):
    num_batches = math.ceil(math.ceil(count / num_parts) / size)
    made = parts(2, count, 1, size, num_parts)
    seen = Counter(row for part in made for row in part["row"][:num_batches][part["mask"][:num_batches]].tolist())
    assert set(seen) == set(range(count))
    assert max(seen.values()) <= 2  # the last batch of a part begins again at its front


def test_parts_of_a_client_without_rows_are_empty():
    made = many_disjoint(
        poisoned(0, MOST), np.int32(5), np.int32(0), jax.random.key(0), np.arange(NUM_STEPS, dtype=np.int32), 5, 2
    )
    assert not any(np.asarray(part["mask"]).any() for part in made)


# ---- reduce ----


def sums(_, batch):
    """Two sums and how often each row was counted."""
    x = jnp.where(batch["mask"][:, None], batch["x"], 0)
    visits = jnp.zeros(1010, jnp.int32).at[batch["row"]].add(batch["mask"].astype(jnp.int32))
    return {"x": x.sum(axis=0), "squares": (x * x).sum(), "visits": visits}


@partial(jax.jit, static_argnames="max_count")
def summed(arrays, start, count, max_count=1000):
    return rows_of(arrays, start, count, max_count).reduce(sums)


@pytest.mark.parametrize("count", [0, 1, 62, 63, 64, 1000])
@pytest.mark.parametrize("start", [0, 17])
def test_a_sum_over_all_rows_is_numpys(count, start):
    arrays = poisoned(start, count, 1030)
    own = arrays["x"][start : start + count].astype(np.float64)
    found = summed(arrays, np.int32(start), np.int32(count))
    np.testing.assert_array_equal(found["x"], own.sum(axis=0))
    np.testing.assert_allclose(found["squares"], (own**2).sum(), rtol=1e-6)
    np.testing.assert_array_equal(found["visits"], np.arange(1010) < count)


@pytest.mark.parametrize(("max_count", "tile"), [(61, 61), (64, 64), (65, 33), (100, 50), (1000, 63)])
def test_the_tile_does_not_matter(max_count, tile):
    assert tile_of(max_count) == tile
    found = summed(poisoned(5, 61, 1030), np.int32(5), np.int32(61), max_count)
    np.testing.assert_array_equal(found["x"], [1830, 1830])
    np.testing.assert_array_equal(found["visits"], np.arange(1010) < 61)


def test_a_client_at_the_end_of_the_arrays():
    arrays = poisoned(30, 1000, 1030)
    np.testing.assert_array_equal(summed(arrays, np.int32(30), np.int32(1000))["visits"], np.arange(1010) < 1000)


def test_summing_one_row_too_many_would_show():
    """A control, as above."""
    assert np.isnan(summed(poisoned(5, 61, 1030), np.int32(5), np.int32(62))["x"]).all()


def test_padding_repeats_the_clients_own_rows():
    """A function may compute with padded rows before it masks them, so they must not be a neighbour's NaN."""
    touched = lambda _, batch: jnp.isnan(batch["x"]).sum()
    total = jax.jit(lambda a, s, c: rows_of(a, s, c).reduce(touched))(poisoned(9, 3), jnp.int32(9), jnp.int32(3))
    assert total == 0


# ---- side by side ----


def test_clients_side_by_side_get_what_each_gets_alone():
    """Under vmap, as lanes of a chunk: different counts, one batch."""
    start, count = np.array([0, 12, 13, 40], np.int32), np.array([12, 1, 27, 50], np.int32)
    arrays = {"row": np.concatenate([np.arange(c) for c in count]).astype(np.int32)}
    keys = jax.random.split(jax.random.key(2), 4)

    def lane(start, count, key):
        rows = rows_of(arrays, start, count)
        total = rows.reduce(lambda _, batch: jnp.where(batch["mask"], batch["row"], 0).sum())
        return rows.batch(key, jnp.int32(3), 8), rows.disjoint(key, jnp.int32(1), 5, 2), total

    arrays = jax.tree.map(jnp.asarray, arrays)
    together = jax.jit(jax.vmap(lane))(start, count, keys)
    one = jax.jit(lane)
    for index in range(4):
        alone = one(start[index], count[index], keys[index])
        for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(together), strict=True):
            np.testing.assert_array_equal(a, b[index])
        assert together[2][index] == count[index] * (count[index] - 1) // 2
