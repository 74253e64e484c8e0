"""FedSim, FedPer, LG-FedAvg and the frame of all methods that share a part: special cases bit for bit, what never
moves, who keeps what, and patterns that choose all or nothing.
"""

import jax
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pfljax as pfl
from pfljax.local import join, other, split
from pfljax.plan import Sampler
from pfljax.types import Vars
from tests.support.runs import STRONG, bits, run, start

WORK = {"client_opt": optax.sgd(0.1, momentum=0.9), "epochs": 2, "batch": 4}
STEADY = settings(deadline=None, derandomize=True, max_examples=100)


@pytest.fixture(scope="module")
def fedper(population, model):
    return run(pfl.algorithms.fedper(model, **WORK), population)


@pytest.fixture(scope="module")
def first(population, model):
    """After one round."""
    return run(pfl.algorithms.fedper(model, **WORK), population, rounds=1)


# ---- special cases ----


@pytest.mark.slow
def test_sharing_all_is_fedavg(population, model):
    shared = run(pfl.algorithms.fedsim(model, shared="*", **WORK), population)
    np.testing.assert_array_equal(bits(shared.vars), bits(run(pfl.algorithms.fedavg(model, **WORK), population).vars))
    assert not jax.tree.leaves(shared.clients)


@pytest.mark.slow
def test_sharing_nothing_is_local_training(population, model):
    shared = run(pfl.algorithms.fedsim(model, server_opt=STRONG, shared="!*", **WORK), population)
    alone = run(pfl.algorithms.local_only(model, **WORK), population)
    np.testing.assert_array_equal(bits(shared.clients), bits(alone.clients))
    np.testing.assert_array_equal(bits(shared.vars), bits(alone.vars))  # the server never moves


def test_fedper_is_fedsim_without_the_head(population, model, fedper):
    other_name = run(pfl.algorithms.fedsim(model, shared="body/*", **WORK), population)
    np.testing.assert_array_equal(bits((fedper.vars, fedper.clients)), bits((other_name.vars, other_name.clients)))


@pytest.mark.slow
def test_lg_fedavg_is_fedper_of_the_other_part(population, model):
    lg = run(pfl.algorithms.lg_fedavg(model, **WORK), population)
    per = run(pfl.algorithms.fedper(model, shared=other("body/*"), **WORK), population)
    np.testing.assert_array_equal(bits((lg.vars, lg.clients)), bits((per.vars, per.clients)))
    assert lg.clients.kept.params["head"] == {"bias": None, "kernel": None}


# ---- who keeps what ----


@pytest.mark.parametrize("name", ["fedper", "lg_fedavg"])
def test_the_servers_copy_of_own_parts_never_moves(population, model, name):
    algorithm = {
        "fedper": pfl.algorithms.fedper(model, server_opt=STRONG, **WORK),
        "lg_fedavg": pfl.algorithms.lg_fedavg(model, server_opt=STRONG, **WORK),
    }[name]
    own, common = ("body", "head") if name == "lg_fedavg" else ("head", "body")
    before, after = start(algorithm).params, run(algorithm, population).vars.params
    np.testing.assert_array_equal(bits(after[own]), bits(before[own]))
    assert np.abs(bits(after[common]) - bits(before[common])).max() > 1e-3


def test_only_participants_keep_and_all_others_start_alike(population, first):
    """One round: a participant has a head of its own, the others have the server's, unseen ones too."""
    result = first
    visited = np.asarray(result.clients.visited)[: population.num_clients]
    assert visited.sum() == 4
    assert not visited[~result.seen].any()
    server = bits(result.vars.params["head"])
    for row, name in enumerate(population.ids):
        own = result.personal(name).vars.params
        assert np.array_equal(bits(own["head"]), server) != visited[row]
        np.testing.assert_array_equal(bits(own["body"]), bits(result.vars.params["body"]))


def test_a_kept_head_stays_while_its_client_is_away(fedper, first):
    """Who took part in the first round only has, two rounds later, the head of then."""
    sampler = Sampler(np.flatnonzero(fedper.seen), cohort=4, seed=2)
    rows = [sampler.sample(round) for round in range(3)]
    np.testing.assert_array_equal(np.flatnonzero(np.asarray(first.clients.visited)), np.sort(rows[0]))
    away = np.setdiff1d(rows[0], rows[1:])
    assert len(away)
    both = np.intersect1d(rows[0], rows[1:])
    assert len(both)
    heads = lambda result, row: bits(jax.tree.map(lambda leaf: leaf[row], result.clients.kept))
    for row in away:
        np.testing.assert_array_equal(heads(fedper, row), heads(first, row))
    for row in both:
        assert not np.array_equal(heads(fedper, row), heads(first, row))


def test_adaptation_moves_own_parameters_only(population, fedper):
    own = fedper.personal(population.ids[0], steps=2).vars.params
    np.testing.assert_array_equal(bits(own["body"]), bits(fedper.vars.params["body"]))
    assert not np.array_equal(bits(own["head"]), bits(fedper.personal(population.ids[0]).vars.params["head"]))


# ---- patterns ----


@pytest.mark.parametrize(
    ("name", "pattern", "got"),
    [
        ("fedsim", "haed/*", "none of"),
        ("fedper", "!haed/*", "all of"),
        ("lg_fedavg", "*/*", "all of"),
        ("fedalt", "haed/*", "none of"),
        ("fedrep", "!haed/*", "all of"),
        ("fedbabu", "!haed/*", "all of"),
        ("fedrecon", "haed/*", "none of"),
    ],
)
def test_a_pattern_that_divides_nothing_is_refused(population, model, name, pattern, got):
    algorithm = getattr(pfl.algorithms, name)(model, shared=pattern)
    message = f"pattern '{pattern}': expected it to match some parameters, got {got} body/0/bias, body/0/kernel"
    with pytest.raises(pfl.PflError) as error:
        run(algorithm, population)
    assert message in str(error.value)
    assert "for all of them write '*', for none '!*'" in str(error.value)


names = st.sampled_from(["body", "head", "norm", "kernel", "bias", "0"])
trees = st.recursive(st.integers(0, 9), lambda deeper: st.dictionaries(names, deeper, min_size=1, max_size=3))
shells = st.sampled_from(["*", "head/*", "*norm*", "*/kernel", "body/0/*", "b*", "?ead", "[bh]*", "", "tail"])
patterns = st.tuples(st.booleans(), shells).map(lambda pair: f"!{pair[1]}" if pair[0] else pair[1])


@STEADY
@given(params=trees, stats=trees, pattern=patterns)
def test_joined_parts_are_the_whole(params, stats, pattern):
    tree = Vars({"model": params, "head": 1}, {"model": stats})
    try:
        some, rest = split(tree, pattern)
    except pfl.PflError:
        flags = [len(jax.tree.leaves(part.params)) for part in (split(tree, "*")[0], tree)]
        assert flags[0] == flags[1]
        assert pattern not in ("*", "!*")
        return
    assert join(some, rest) == tree == join(rest, some)
    assert (rest, some) == split(tree, other(pattern))
    leaves = lambda part: len(jax.tree.leaves(part))
    assert leaves(some) + leaves(rest) == leaves(tree)
    if pattern not in ("*", "!*"):
        assert leaves(some.params)
        assert leaves(rest.params)


@STEADY
@given(pattern=patterns)
def test_the_other_of_the_other(pattern):
    assert other(other(pattern)) == pattern != other(pattern)
