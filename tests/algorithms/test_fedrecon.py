"""FedRecon: nothing kept, support and query rows apart."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pfljax as pfl
from pfljax.data.shard import Rows
from tests.support.runs import STRONG, bits, run, start

LENGTH, MOST = 40, 21
STEADY = settings(deadline=None, derandomize=True, max_examples=60)


def fedrecon(model, recon_steps=3, **more):
    return pfl.algorithms.fedrecon(model, optax.sgd(0.1), shared="body/*", recon_steps=recon_steps, batch=4, **more)


@pytest.fixture(scope="module")
def result(population, model):
    return run(fedrecon(model, server_opt=STRONG), population)


def test_clients_keep_nothing_and_the_servers_head_rests(result):
    before = start(result.algorithm).params
    assert not jax.tree.leaves(result.clients)
    np.testing.assert_array_equal(bits(result.vars.params["head"]), bits(before["head"]))
    assert np.abs(bits(result.vars.params["body"]) - bits(before["body"])).max() > 1e-3


def test_a_second_run_gives_the_same_bits(population, model, result):
    np.testing.assert_array_equal(bits(run(fedrecon(model, server_opt=STRONG), population).vars), bits(result.vars))


def test_a_client_finds_its_own_head_only(population, result):
    for name in (population.ids[0], population.ids[int(np.flatnonzero(~result.seen)[0])]):
        np.testing.assert_array_equal(bits(result.personal(name).vars), bits(result.vars))
        own = result.personal(name, steps=3).vars.params
        np.testing.assert_array_equal(bits(own["body"]), bits(result.vars.params["body"]))
        assert not np.array_equal(bits(own["head"]), bits(result.vars.params["head"]))


def test_an_epoch_passes_over_the_query_half(model):
    counts = np.array([1, 2, 8, 9, 17])
    algorithm = fedrecon(model, recon_steps=5)
    np.testing.assert_array_equal(algorithm.steps(counts), [1, 1, 1, 2, 3])
    np.testing.assert_array_equal(algorithm.cost(counts), [6, 6, 6, 7, 8])


@pytest.mark.parametrize("steps", [0, -2, 0.5])
def test_bad_steps(model, steps):
    with pytest.raises(pfl.PflError, match=f"recon_steps: expected a whole number of at least 1, got {steps}"):
        fedrecon(model, recon_steps=steps)


# ---- parts of a client's rows ----


@partial(jax.jit, static_argnames="num_parts")
def numbers(start, count, num_parts):
    """[part, batch] row numbers and mask of all rows of each part; every row of the arrays holds its own number."""
    rows = Rows({"row": jnp.arange(LENGTH)}, start, count, MOST)
    size = -(-MOST // num_parts)
    made = [rows.part(index, num_parts).batch(jax.random.key(0), np.int32(0), size) for index in range(num_parts)]
    return [(each["row"], each["mask"]) for each in made]


@STEADY
@given(start=st.integers(0, LENGTH - MOST), count=st.integers(0, MOST), num_parts=st.sampled_from([2, 3]))
def test_parts_share_no_row_and_leave_none_out(start, count, num_parts):
    made = numbers(np.int32(start), np.int32(count), num_parts)
    parts = [np.asarray(row)[np.asarray(mask)].tolist() for row, mask in made]
    own = range(start, start + count)
    assert all(row in own for part in parts for row in part)
    if count >= num_parts:
        assert sorted(row for part in parts for row in part) == list(own)
        sizes = [len(part) for part in parts]
        assert max(sizes) - min(sizes) <= 1
    else:
        assert [len(part) for part in parts] == [min(count, 1)] * num_parts
