"""Randomness: named streams are independent, a client's key hangs on nothing but who and when."""

from itertools import product

import jax
import numpy as np
import pytest

from pfljax import keys


def data(key: jax.Array) -> tuple[int, ...]:
    return tuple(np.asarray(jax.random.key_data(key)).ravel().tolist())


def test_names_rounds_and_rows_give_different_keys():
    root = keys.root(0)
    made = [keys.use(root, name) for name in ("clients", "params", "server", "batch", "model", "init", "evaluate")]
    made += [keys.client(root, round, row) for round, row in product(range(12), range(12))]
    made += [keys.at(root, index) for index in range(12)] + [root, keys.root(1)]
    assert len({data(key) for key in made}) == len(made)


def test_keys_are_the_same_every_time():
    """Pinned: other keys would change every published number."""
    root = keys.root(7)
    assert data(keys.use(root, "batch")) == data(keys.use(keys.root(7), "batch")) == (3174006499, 2665324227)
    assert data(keys.client(root, 3, 11)) == (2993013290, 2155940137)
    assert np.asarray(keys.words(root, 3)).tolist() == [2895194379, 4185947648, 1300703658]


def test_a_clients_key_hangs_on_round_and_row_alone():
    """Traced or not, in a batch of clients of any order and size."""
    root = keys.root(5)
    rows = np.array([4, 0, 9, 2], np.int32)
    together = jax.jit(jax.vmap(keys.client, in_axes=(None, None, 0)))(root, np.int32(6), rows)
    backwards = jax.vmap(keys.client, in_axes=(None, None, 0))(root, np.int32(6), rows[::-1])
    for index, row in enumerate(rows.tolist()):
        assert data(together[index]) == data(backwards[3 - index]) == data(keys.client(root, 6, row))
    assert data(keys.client(root, 2, 6)) != data(keys.client(root, 6, 2))


def test_words_are_uniform():
    words = np.asarray(keys.words(keys.root(0), 4096))
    assert words.dtype == np.uint32
    bits = np.unpackbits(words.view(np.uint8)).reshape(4096, 32).mean(axis=0)
    assert np.abs(bits - 0.5).max() < 5 * 0.5 / np.sqrt(4096)


def test_host_generators():
    """Pinned: numpy keeps the stream of a seeded PCG64."""
    assert keys.host(0, "sample", 3).integers(0, 1000, 4).tolist() == [386, 694, 197, 305]
    assert keys.host(1, "hold_out").permutation(6).tolist() == [2, 1, 0, 4, 5, 3]
    draws = [
        keys.host(seed, name, index).integers(0, 2**62)
        for seed, name, index in product(range(3), ("sample", "hold_out"), range(5))
    ]
    assert len(set(draws)) == len(draws)


def test_a_host_generator_does_not_touch_numpys_global_one():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    keys.host(0, "sample").normal(size=10)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize(("seed", "expected"), [(4, keys.Seeds(4, 4, 4)), (keys.Seeds(sampling=2), (0, 2, 0))])
def test_one_seed_stands_for_three(seed, expected):
    assert keys.seeds(seed) == expected
