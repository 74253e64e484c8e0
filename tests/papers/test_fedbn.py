"""FedBN. Li et al., ICLR 2021, Algorithm 1, in numpy: normalization stays with the client, statistics and all.

outputs = (normalized(x) * scale + shift) head; the rows of a client are alike and hold several examples each, over
which it normalizes, so that gradients are linear algebra.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import pfljax as pfl
from pfljax.models import losses
from pfljax.types import Model, Vars, Weighted
from tests.support import parts

LR, MEMORY, SMALL = 0.1, 0.9, 1e-5
HEAD = np.random.default_rng(7).normal(size=parts.DIM)
ONE, ZERO = np.ones(parts.DIM), np.zeros(parts.DIM)


def model() -> Model:
    def init(key):
        norm = {"scale": jnp.asarray(ONE), "shift": jnp.asarray(ZERO)}
        return Vars({"norm": norm, "head": jnp.asarray(HEAD)}, {"norm": {"mean": jnp.asarray(ZERO)}})

    def apply(vars, batch, key, train):
        norm, x = vars.params["norm"], batch["x"]
        kept = vars.stats["norm"]["mean"]
        mean = x.mean(axis=1) if train else jnp.broadcast_to(kept[None], (x.shape[0], kept.shape[0]))
        hidden = (x - mean[:, None]) * norm["scale"][None, None] + norm["shift"][None, None]
        count = jnp.maximum(batch["mask"].sum(), 1).astype(x.dtype)
        now = jnp.where(batch["mask"][:, None], mean, 0).sum(axis=0) / count
        return hidden @ vars.params["head"], {"norm": {"mean": MEMORY * kept + (1 - MEMORY) * now} if train else kept}

    def loss(outputs, batch):
        error = 0.5 * (outputs - batch["y"]) ** 2
        return Weighted(error.mean(axis=1), jnp.ones(error.shape[0], error.dtype))

    return Model(init, apply, loss, (("loss", losses.averaged(loss)),))


def fedbn(clients, cohorts):
    """(head, {client: (scale, shift, mean)})."""
    head, own = HEAD, {}
    for cohort in cohorts:
        ends, weights = [], []
        for k in cohort:
            x, y = clients[k].x[0], clients[k].y[0]
            centred = x - x.mean(axis=0)
            (scale, shift, mean), head_k = own.get(k, (ONE, ZERO, ZERO)), head
            for _ in range(clients[k].steps):
                hidden = centred * scale + shift
                gap = (hidden @ head_k - y) / len(y)
                g_hidden = np.outer(gap, head_k)
                g_head = hidden.T @ gap
                scale, shift = scale - LR * (g_hidden * centred).sum(axis=0), shift - LR * g_hidden.sum(axis=0)
                head_k = head_k - LR * g_head
                mean = MEMORY * mean + (1 - MEMORY) * x.mean(axis=0)
            own[k] = scale, shift, mean
            ends.append(head_k)
            weights.append(clients[k].rows)
        head = np.average(ends, axis=0, weights=weights)
    return head, own


@pytest.fixture(scope="module")
def ours():
    return parts.run(pfl.algorithms.fedbn(model(), optax.sgd(LR), epochs=1, batch=2))


def test_three_rounds(ours):
    head, own = fedbn(ours.clients, ours.cohorts)
    np.testing.assert_allclose(np.asarray(ours.result.vars.params["head"]), head, rtol=0, atol=1e-12)
    kept = ours.result.clients.kept
    found = kept.params["norm"]["scale"], kept.params["norm"]["shift"], kept.stats["norm"]["mean"]
    assert sorted(own) == ours.participants
    for k, each in own.items():
        for mine, expected in zip(found, each, strict=True):
            np.testing.assert_allclose(np.asarray(mine)[k], expected, rtol=0, atol=1e-12)


def test_the_servers_norm_stays_as_it_began(ours):
    server = ours.result.vars
    np.testing.assert_array_equal(np.asarray(server.params["norm"]["scale"]), ONE)
    np.testing.assert_array_equal(np.asarray(server.params["norm"]["shift"]), ZERO)
    np.testing.assert_array_equal(np.asarray(server.stats["norm"]["mean"]), ZERO)


def test_averaged_statistics_would_be_seen(ours):
    """The buggy rule: all clients share one mean. Theirs differ by far more than the tolerance."""
    means = np.asarray(ours.result.clients.kept.stats["norm"]["mean"])[ours.participants]
    assert np.abs(means - means.mean(axis=0)).max() > 1e-2


def test_predictions_use_the_clients_own_statistics(ours):
    k = ours.participants[0]
    with jax.enable_x64(True):
        personal = ours.result.personal(ours.result.ids[k])
    kept = np.asarray(ours.result.clients.kept.stats["norm"]["mean"])
    np.testing.assert_array_equal(np.asarray(personal.vars.stats["norm"]["mean"]), kept[k])
