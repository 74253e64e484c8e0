"""FedBABU. Oh, Kim, Yun, ICLR 2022, Algorithm 1, in numpy: the head stays as it was drawn, the body is averaged."""

import jax
import numpy as np
import optax

import pfljax as pfl
from tests.support import parts

BODY, HEAD = parts.START
LR, LR_OWN = 0.1, 0.05


def fedbabu(clients, cohorts, body, head):
    for cohort in cohorts:
        ends, weights = [], []
        for k in cohort:
            body_k = body
            for _ in range(clients[k].steps):
                body_k = body_k - LR * clients[k].grad(body_k, head)[0]
            ends.append(body_k)
            weights.append(clients[k].rows)
        body = np.average(ends, axis=0, weights=weights)
    return body


def finetuned(client, body, head, steps):
    """Personalization: all parameters, from the trained body and the head as drawn."""
    for _ in range(steps):
        g_body, g_head = client.grad(body, head)
        body, head = body - LR_OWN * g_body, head - LR_OWN * g_head
    return body, head


def test_three_rounds_and_finetuning():
    algorithm = pfl.algorithms.fedbabu(parts.model(), optax.sgd(LR), personal_opt=optax.sgd(LR_OWN), epochs=1, batch=2)
    ours = parts.run(algorithm)
    body, head = ours.server
    np.testing.assert_array_equal(head, HEAD)
    np.testing.assert_allclose(body, fedbabu(ours.clients, ours.cohorts, BODY, HEAD), rtol=0, atol=1e-12)
    assert not jax.tree.leaves(ours.result.clients)
    with jax.enable_x64(True):
        own = ours.result.personal(ours.result.ids[2], steps=3)
    for found, expected in zip(parts.flat(own.vars.params), finetuned(ours.clients[2], body, head, 3), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    # The buggy rule: the head learns too.
    moved = np.abs(finetuned(ours.clients[2], BODY, HEAD, 3)[1] - HEAD).max()
    assert moved > 1e-3
