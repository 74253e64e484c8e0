"""pFedHN. Shamsian et al., ICML 2021, Algorithm 1, in numpy: a one-hidden-layer hypernetwork and its chain rule."""

import jax
import numpy as np
import optax

import pfljax as pfl
from pfljax import keys
from pfljax.engine.start import initial_server
from pfljax.types import Census
from tests.support import parity

LR, SERVER_LR, SEED = 0.1, 0.5, 4


def pfedhn(clients, cohorts, made, slope=lambda a: a > 0, sign=1.0):
    """The hypernetwork's numbers after the rounds. `slope`: the derivative of its activation, a relu."""
    w1, b1, w2, b2, e = (x.copy() for x in made)
    for cohort in cohorts:
        g1, h1, g2, h2, ge = (np.zeros_like(x) for x in (w1, b1, w2, b2, e))
        for i in cohort:
            a = e[i] @ w1 + b1
            z = np.maximum(a, 0)
            theta = z @ w2 + b2
            w = theta.copy()
            for _ in range(clients[i].steps):
                w = w - LR * clients[i].grad(w)
            delta = sign * (theta - w)
            da = (w2 @ delta) * slope(a)
            g2, h2, g1, h1 = g2 + np.outer(z, delta), h2 + delta, g1 + np.outer(e[i], da), h1 + da
            ge[i] += w1 @ da
        step = SERVER_LR / len(cohort)
        w1, b1, w2, b2, e = w1 - step * g1, b1 - step * h1, w2 - step * g2, b2 - step * h2, e - step * ge
    return w1, b1, w2, b2, e


def numbers(extra):
    names = ("hidden", "bias", "out", "start")
    return [np.asarray(x) for x in jax.tree.leaves(([extra.weights[name] for name in names], extra.embeddings))]


def test_five_rounds():
    algorithm = pfl.algorithms.pfedhn(
        parity.model(), optax.sgd(LR), optax.sgd(SERVER_LR), embedding=4, hidden=6, epochs=1, batch=2
    )
    ours = parity.run(algorithm, rounds=5, seed=SEED)
    num = len(ours.clients)
    with jax.enable_x64(True):
        census = Census(num, np.ones(num, bool), np.array([client.rows for client in ours.clients]))
        made = numbers(initial_server(algorithm, census, keys.seeds(SEED)).extra)
    theirs = pfedhn(ours.clients, ours.cohorts, made)
    found = numbers(ours.result.server.extra)
    for a, b, start in zip(found, theirs, made, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
        assert np.abs(a - start).max() > 1e-3  # every part has moved
    for wrong in ({"slope": np.ones_like}, {"sign": -1.0}):
        other = pfedhn(ours.clients, ours.cohorts, made, **wrong)
        assert max(np.abs(a - b).max() for a, b in zip(other, found, strict=True)) > 1e-4
