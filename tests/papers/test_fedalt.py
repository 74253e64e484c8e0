"""FedAlt, and with it FedRep. Pillutla et al., ICML 2022, Algorithm 3; Collins et al., ICML 2021, Algorithm 1.

A client's own parameters v take their steps first, the shared u being still; then u takes its steps, v being still.
"""

import numpy as np
import optax
import pytest

import pfljax as pfl
from tests.papers.test_fedsim import check
from tests.support import parts

BODY, HEAD = parts.START
LR, LR_OWN, MOMENTUM = 0.05, 0.1, 0.9


def fedalt(clients, cohorts, u, v, passes, momentum=0.0):
    """(u, {client: v}): `passes` times as many steps on v as on u; each phase has momentum of its own."""
    own = {}
    for cohort in cohorts:
        ends, weights = [], []
        for k in cohort:
            u_k, v_k = u, own.get(k, v)
            trace = 0.0
            for _ in range(passes * clients[k].steps):
                trace = clients[k].grad(u_k, v_k)[1] + momentum * trace
                v_k = v_k - LR_OWN * trace
            trace = 0.0
            for _ in range(clients[k].steps):
                trace = clients[k].grad(u_k, v_k)[0] + momentum * trace
                u_k = u_k - LR * trace
            own[k] = v_k
            ends.append(u_k)
            weights.append(clients[k].rows)
        u = np.average(ends, axis=0, weights=weights)
    return u, own


def one_optimizer(clients, cohorts, u, v, passes, momentum):
    """The bug: one optimizer for both phases, the still part's gradient set to zero; its momentum moves it on."""
    own = {}
    for cohort in cohorts:
        ends, weights = [], []
        for k in cohort:
            u_k, v_k, trace_u, trace_v = u, own.get(k, v), 0.0, 0.0
            for step in range((passes + 1) * clients[k].steps):
                g_u, g_v = clients[k].grad(u_k, v_k)
                is_own = step < passes * clients[k].steps
                trace_u = momentum * trace_u + (0.0 if is_own else g_u)
                trace_v = momentum * trace_v + (g_v if is_own else 0.0)
                u_k, v_k = u_k - LR * trace_u, v_k - LR_OWN * trace_v
            own[k] = v_k
            ends.append(u_k)
            weights.append(clients[k].rows)
        u = np.average(ends, axis=0, weights=weights)
    return u, own


def shared_first(clients, cohorts, u, v, passes):
    """The bug: the phases in the other order."""
    own = {}
    for cohort in cohorts:
        ends, weights = [], []
        for k in cohort:
            u_k, v_k = u, own.get(k, v)
            for _ in range(clients[k].steps):
                u_k = u_k - LR * clients[k].grad(u_k, v_k)[0]
            for _ in range(passes * clients[k].steps):
                v_k = v_k - LR_OWN * clients[k].grad(u_k, v_k)[1]
            own[k] = v_k
            ends.append(u_k)
            weights.append(clients[k].rows)
        u = np.average(ends, axis=0, weights=weights)
    return u, own


def test_fedrep():
    algorithm = pfl.algorithms.fedrep(
        parts.model(), optax.sgd(LR), personal_opt=optax.sgd(LR_OWN), head_passes=3, epochs=1, batch=2
    )
    ours = parts.run(algorithm)
    assert len({client.steps for client in ours.clients}) > 1
    check(ours, fedalt(ours.clients, ours.cohorts, BODY, HEAD, 3))
    np.testing.assert_array_equal(ours.server[1], HEAD)
    for wrong in (
        fedalt(ours.clients, ours.cohorts, BODY, HEAD, 2),
        shared_first(ours.clients, ours.cohorts, BODY, HEAD, 3),
    ):
        with pytest.raises(AssertionError):
            check(ours, wrong, atol=1e-4)


def test_fedalt_with_momentum_in_each_phase():
    algorithm = pfl.algorithms.fedalt(
        parts.model(),
        optax.sgd(LR, momentum=MOMENTUM),
        shared="body/*",
        personal_opt=optax.sgd(LR_OWN, momentum=MOMENTUM),
        epochs=1,
        batch=2,
    )
    ours = parts.run(algorithm)
    check(ours, fedalt(ours.clients, ours.cohorts, BODY, HEAD, 1, MOMENTUM))
    with pytest.raises(AssertionError):
        check(ours, one_optimizer(ours.clients, ours.cohorts, BODY, HEAD, 1, MOMENTUM), atol=1e-4)
