"""ANIL. Raghu et al., ICLR 2020: MAML whose inner loop moves the head alone, in numpy."""

import jax.numpy as jnp
import numpy as np
import optax

import pfljax as pfl
from pfljax.types import Vars
from tests.support import parity

ALPHA, BETA, INNER = 0.15, 0.1, 2
HEAD = np.array([0.0, 0.0, 1.0])  # the coordinates that the inner loop moves


def split_model():
    """The quadratic with two leaves: body, the first coordinates, and head, the last."""
    whole = parity.model()

    def apply(vars, batch, key, train):
        w = jnp.concatenate([vars.params["body"], vars.params["head"]])
        return whole.apply(Vars({"w": w}), batch, key, train)[0], vars.stats

    def init(key):
        w = whole.init(key).params["w"]
        return Vars({"body": w[:2], "head": w[2:]})

    return whole._replace(init=init, apply=apply)


def anil(clients, cohorts, w, mask):
    for cohort in cohorts:
        ends = []
        for k in cohort:
            a, w_k = clients[k].a, w.copy()
            for _ in range(clients[k].steps):
                adapted = w_k
                for _ in range(INNER):
                    adapted = adapted - ALPHA * mask * clients[k].grad(adapted)
                jacobian = np.linalg.matrix_power(np.eye(parity.DIM) - ALPHA * mask[:, None] * a, INNER)
                w_k = w_k - BETA * jacobian.T @ clients[k].grad(adapted)
            ends.append(w_k)
        w = np.mean(ends, axis=0)
    return w


def test_three_rounds():
    algorithm = pfl.algorithms.anil(
        split_model(), optax.sgd(BETA), adapt="head", inner_lr=ALPHA, inner_steps=INNER, epochs=1, batch=2
    )
    ours = parity.run(algorithm)
    found = np.concatenate([np.asarray(ours.result.vars.params[name]) for name in ("body", "head")])
    np.testing.assert_allclose(found, anil(ours.clients, ours.cohorts, ours.start, HEAD), rtol=0, atol=1e-12)
    for mask in (np.zeros(3), np.ones(3), 1 - HEAD):  # joint training, MAML, the body instead
        assert np.abs(anil(ours.clients, ours.cohorts, ours.start, mask) - found).max() > 1e-3
