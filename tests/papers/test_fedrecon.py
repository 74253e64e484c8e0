"""FedRecon. Singhal et al., NeurIPS 2021, Algorithm 1, in numpy.

A client finds its own v anew in each round, from the same start, on support rows; then u descends on query rows. It
counts by its query rows, and keeps nothing.
"""

import jax
import numpy as np
import optax
import pytest

import pfljax as pfl
from tests.support import parts

BODY, HEAD = parts.START
LR, LR_OWN, STEPS, RECON = 0.1, 0.2, 2, 3


def reconstructed(client, body, head, steps):
    for _ in range(steps):
        head = head - LR_OWN * client.grad(body, head)[1]
    return head


def fedrecon(clients, cohorts, body, head, cut=lambda client: client.cut(), kept=None):
    """kept: a dict makes it the buggy rule in which clients go on from their last v."""
    for cohort in cohorts:
        ends, weights = [], []
        for k in cohort:
            support, query = cut(clients[k])
            start = head if kept is None else kept.get(k, head)
            head_k, body_k = reconstructed(support, body, start, RECON), body
            if kept is not None:
                kept[k] = head_k
            for _ in range(STEPS):
                body_k = body_k - LR * query.grad(body_k, head_k)[0]
            ends.append(body_k)
            weights.append(query.rows)
        body = np.average(ends, axis=0, weights=weights)
    return body


@pytest.fixture(scope="module")
def ours():
    algorithm = pfl.algorithms.fedrecon(
        parts.model(), optax.sgd(LR), shared="body/*", recon_opt=optax.sgd(LR_OWN), recon_steps=RECON,
        steps=STEPS, batch=None,
    )  # fmt: skip
    return parts.run(algorithm, parts.various())


def test_three_rounds(ours):
    body, head = ours.server
    np.testing.assert_array_equal(head, HEAD)
    np.testing.assert_allclose(body, fedrecon(ours.clients, ours.cohorts, BODY, HEAD), rtol=0, atol=1e-12)
    assert not jax.tree.leaves(ours.result.clients)


def test_an_own_model_is_reconstructed_on_all_rows(ours):
    body, _ = ours.server
    with jax.enable_x64(True):
        own = ours.result.personal(ours.result.ids[1], steps=4)
    found_body, found_head = parts.flat(own.vars.params)
    np.testing.assert_array_equal(found_body, body)
    np.testing.assert_allclose(found_head, reconstructed(ours.clients[1], body, HEAD, 4), rtol=0, atol=1e-12)


def test_wrong_rules_are_seen(ours):
    for wrong in (
        fedrecon(ours.clients, ours.cohorts, BODY, HEAD, cut=lambda client: (client, client)),  # no cut at all
        fedrecon(ours.clients, ours.cohorts, BODY, HEAD, cut=lambda client: client.cut()[::-1]),
        fedrecon(ours.clients, ours.cohorts, BODY, HEAD, kept={}),
    ):
        assert np.abs(wrong - ours.server[0]).max() > 1e-4
