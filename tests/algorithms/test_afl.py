"""Agnostic federated learning: the simplex, its projection, FedSGD without a climb, the minimax point, bad input."""

from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pfljax as pfl
from pfljax.algorithms.afl import _onto_simplex
from tests.support import parity
from tests.support.trajectory import follow

LR = 0.1
SIZE = 5


def nearest(values: np.ndarray) -> np.ndarray:
    """The nearest point of the simplex, by trying every set of entries that may stay positive."""
    found = []
    for size in range(1, len(values) + 1):
        for kept in map(list, combinations(range(len(values)), size)):
            point = np.zeros_like(values)
            point[kept] = values[kept] - (values[kept].sum() - 1) / size
            if (point >= 0).all():
                found.append(point)
    return min(found, key=lambda point: ((point - values) ** 2).sum())


@given(
    values=st.lists(st.floats(-50, 50, width=32), min_size=SIZE, max_size=SIZE),
    seen=st.lists(st.booleans(), min_size=SIZE, max_size=SIZE).filter(any),
)
@settings(max_examples=60, deadline=None)
def test_the_projection_is_the_nearest_point(values, seen):
    values, seen = np.array(values), np.array(seen)
    with jax.enable_x64(True):
        found = np.asarray(_onto_simplex(jnp.asarray(values), jnp.asarray(seen)))
    np.testing.assert_array_equal(found[~seen], 0)
    np.testing.assert_allclose(found[seen], nearest(values[seen]), rtol=0, atol=1e-12)


def test_the_mixture_stays_on_the_simplex_of_seen_clients():
    """Under partial participation, where a climb strong enough throws clients out and lets them back in."""
    run = follow(pfl.algorithms.afl(parity.model(), lr=LR, mixture_lr=0.5), rounds=6)
    mixtures = np.stack([moment.server.extra.mixture for moment in run.moments])
    assert not run.seen.all()
    assert (mixtures >= 0).all()
    np.testing.assert_array_equal(mixtures[:, ~run.seen], 0)
    np.testing.assert_allclose(mixtures.sum(axis=1), 1, rtol=0, atol=1e-14)
    assert (mixtures[:, run.seen] == 0).any()
    average = np.mean([moment.w for moment in run.moments], axis=0)  # what is in use
    np.testing.assert_allclose(run.moments[-1].server.extra.average.params["w"], average, rtol=0, atol=1e-14)


def test_without_a_climb_it_is_fedsgd_with_uniform_weights():
    ours = parity.run(pfl.algorithms.afl(parity.model(), lr=LR, mixture_lr=0.0), rounds=5, cohort=5)
    w = ours.start
    for _ in range(5):
        w = w - LR * np.mean([k.grad(w) for k in ours.clients], axis=0)
    np.testing.assert_allclose(ours.w, w, rtol=0, atol=1e-13)
    np.testing.assert_allclose(ours.result.server.extra.mixture, 0.2, rtol=0, atol=1e-15)


def test_it_finds_the_minimax_point():
    """The largest loss at w is the least that lambda's mixture can have: nobody's worst case is better."""
    ours = parity.run(pfl.algorithms.afl(parity.model(), lr=LR, mixture_lr=0.02), rounds=4000, cohort=5)
    mixture = np.asarray(ours.result.server.extra.mixture)
    best = np.linalg.solve(
        np.einsum("k,kij->ij", mixture, [k.a for k in ours.clients]),
        np.einsum("k,kij,kj->i", mixture, [k.a for k in ours.clients], [k.c for k in ours.clients]),
    )
    worst = lambda w: max(k.loss(w) for k in ours.clients)
    least = mixture @ [k.loss(best) for k in ours.clients]
    np.testing.assert_allclose(worst(ours.w), least, rtol=1e-8)
    pooled = np.linalg.solve(sum(k.a for k in ours.clients), sum(k.a @ k.c for k in ours.clients))
    assert worst(pooled) > 1.05 * least


@pytest.mark.parametrize("mixture_lr", [-0.1, float("nan")])
def test_bad_input(mixture_lr):
    with pytest.raises(pfl.PflError, match=f"mixture_lr: expected a number of at least 0, got {mixture_lr}"):
        pfl.algorithms.afl(parity.model(), mixture_lr=mixture_lr)
