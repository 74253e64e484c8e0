"""LoRA. Hu et al., ICLR 2022, eq. 3, as adapters that clients keep (Pillutla et al., ICML 2022), in numpy.

The body's matrix is W + A B. Gradients: of W, G; of A, G B'; of B, A' G.
"""

import numpy as np
import optax
import pytest

import pfljax as pfl
from tests.support import parts

BODY, HEAD = parts.START
LR, RANK, NAME = 0.1, 2, "body.kernel"


def lora(clients, cohorts, a, b, is_frozen, scale=1.0):
    """((W, head), {client: (A, B)}): clients keep A and B; W and the head are averaged, or stay where they are."""
    body, head, own = BODY, HEAD, {}
    for cohort in cohorts:
        ends, weights = [], []
        for k in cohort:
            (a_k, b_k), body_k, head_k = own.get(k, (a, b)), body, head
            for _ in range(clients[k].steps):
                g, g_head = clients[k].grad(body_k + scale * a_k @ b_k, head_k)
                a_k, b_k = a_k - LR * scale * g @ b_k.T, b_k - LR * scale * a_k.T @ g
                if not is_frozen:
                    body_k, head_k = body_k - LR * g, head_k - LR * g_head
            own[k] = a_k, b_k
            ends.append((body_k, head_k))
            weights.append(clients[k].rows)
        body, head = (np.average(each, axis=0, weights=weights) for each in zip(*ends, strict=True))
    return (body, head), own


@pytest.mark.parametrize("frozen", [None, "base/*"])
def test_three_rounds(frozen):
    algorithm = pfl.algorithms.lora(
        parts.model(), optax.sgd(LR), rank=RANK, kernels="body/kernel", frozen=frozen, epochs=1, batch=2
    )
    ours = parts.run(algorithm)
    params = ours.result.vars.params
    a, b = (np.asarray(params["adapter"][NAME][name]) for name in "ab")  # as drawn: the server's never move
    assert a.shape == (parts.DIM, RANK)
    np.testing.assert_array_equal(b, np.zeros((RANK, parts.WIDTH)))
    base, own = lora(ours.clients, ours.cohorts, a, b, frozen is not None)
    for found, expected in zip(parts.flat(params["base"]), base, strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    if frozen is not None:
        for found, start in zip(parts.flat(params["base"]), parts.START, strict=True):
            np.testing.assert_array_equal(found, start)
    kept = ours.result.clients.kept.params["adapter"][NAME]
    wrong = lora(ours.clients, ours.cohorts, a, b, frozen is not None, scale=1.1)[1]
    for k, each in own.items():
        for name, expected in zip("ab", each, strict=True):
            np.testing.assert_allclose(np.asarray(kept[name])[k], expected, rtol=0, atol=1e-12)
        assert np.abs(np.asarray(kept["b"])[k] - wrong[k][1]).max() > 1e-4
