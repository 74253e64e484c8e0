"""FedSim, and with it FedPer and LG-FedAvg. Pillutla et al., ICML 2022, Algorithm 2, in numpy.

All local steps move the shared parameters u and the client's own v together; u is averaged, v stays.
"""

import numpy as np
import optax
import pytest

import pfljax as pfl
from tests.support import parts

BODY, HEAD = parts.START
LR = 0.1


def plain(u, delta, state):
    return u - delta, state


def decayed_momentum(u, delta, state):
    """The server's step: weight decay 0.05, then momentum 0.5 at rate 0.7."""
    state = delta + 0.05 * u + 0.5 * state
    return u - 0.7 * state, state


def fedsim(clients, cohorts, u, v, grads, server=plain, lr=LR):
    """(u, {client: v}). grads: (client, u, v) -> (gradient of u, of v)."""
    own, state = {}, 0.0
    for cohort in cohorts:
        deltas, weights = [], []
        for k in cohort:
            u_k, v_k = u, own.get(k, v)
            for _ in range(clients[k].steps):
                g_u, g_v = grads(clients[k], u_k, v_k)
                u_k, v_k = u_k - lr * g_u, v_k - lr * g_v
            own[k] = v_k
            deltas.append(u - u_k)
            weights.append(clients[k].rows)
        u, state = server(u, np.average(deltas, axis=0, weights=weights), state)
    return u, own


def averaging_all(clients, cohorts, u, v, grads):
    """The bug: the clients' own parts are averaged too."""
    for cohort in cohorts:
        ends, weights = [], [clients[k].rows for k in cohort]
        for k in cohort:
            u_k, v_k = u, v
            for _ in range(clients[k].steps):
                g_u, g_v = grads(clients[k], u_k, v_k)
                u_k, v_k = u_k - LR * g_u, v_k - LR * g_v
            ends.append((u_k, v_k))
        u, v = (np.average(each, axis=0, weights=weights) for each in zip(*ends, strict=True))
    return u, dict.fromkeys(np.unique(cohorts).tolist(), v)


BY_BODY = lambda client, u, v: client.grad(u, v)
BY_HEAD = lambda client, u, v: client.grad(v, u)[::-1]


def check(ours: parts.Parity, theirs, atol: float = 1e-12):
    """u, v of everybody who took part. theirs: (u, {client: v}) where u is the body."""
    u, own = theirs
    kept = ours.result.clients
    np.testing.assert_array_equal(np.flatnonzero(np.asarray(kept.visited)), sorted(own))
    np.testing.assert_allclose(ours.server[0], u, rtol=0, atol=atol)
    for k, v in own.items():
        found = {name: np.asarray(leaf)[k] for name, leaf in kept.kept.params["head"].items()}
        np.testing.assert_allclose(parts.head({"head": found}), v, rtol=0, atol=atol)


@pytest.fixture(scope="module")
def ours():
    """FedPer shares all but the head: FedSim of the body."""
    return parts.run(pfl.algorithms.fedper(parts.model(), optax.sgd(LR), epochs=1, batch=2))


def test_fedper(ours):
    assert len({client.steps for client in ours.clients}) > 1
    times = np.bincount(ours.cohorts.ravel(), minlength=len(ours.clients))
    assert times.max() > times.min()
    check(ours, fedsim(ours.clients, ours.cohorts, BODY, HEAD, BY_BODY))
    np.testing.assert_array_equal(ours.server[1], HEAD)  # the server's copy of the head never moves


def test_wrong_rules_are_seen(ours):
    for wrong in (
        averaging_all(ours.clients, ours.cohorts, BODY, HEAD, BY_BODY),
        fedsim(ours.clients, ours.cohorts, BODY, HEAD, BY_BODY, lr=0.11),
    ):
        with pytest.raises(AssertionError):
            check(ours, wrong, atol=1e-4)


def test_a_server_optimizer_with_momentum_and_decay():
    server_opt = optax.chain(optax.add_decayed_weights(0.05), optax.sgd(0.7, momentum=0.5))
    algorithm = pfl.algorithms.fedsim(
        parts.model(), optax.sgd(LR), server_opt, shared="body/*", epochs=2, batch=4
    )  # fmt: skip
    ours = parts.run(algorithm)
    check(ours, fedsim(ours.clients, ours.cohorts, BODY, HEAD, BY_BODY, decayed_momentum))
    np.testing.assert_array_equal(ours.server[1], HEAD)


def test_lg_fedavg():
    """The head is shared and the body the client's own."""
    ours = parts.run(pfl.algorithms.lg_fedavg(parts.model(), optax.sgd(LR), epochs=1, batch=2))
    u, own = fedsim(ours.clients, ours.cohorts, HEAD, BODY, BY_HEAD)
    np.testing.assert_allclose(ours.server[1], u, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(ours.server[0], BODY)
    kept = np.asarray(ours.result.clients.kept.params["body"]["kernel"])
    for k, v in own.items():
        np.testing.assert_allclose(kept[k], v, rtol=0, atol=1e-12)
