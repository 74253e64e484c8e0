"""FedALA. Zhang et al., AAAI 2023, Algorithm 1 (eq. 3 and 4), in numpy."""

import numpy as np
import optax

import pfljax as pfl
from tests.support import parity

LR, WEIGHT_LR, WEIGHT_STEPS = 0.1, 0.9, 3


def fedala(clients, cohorts, w, is_kept=True, bound=1.0):
    """(global model, {client: its last model}, {client: W}). `is_kept`: W and w_old outlive the round."""
    olds, gates = {}, {}
    for cohort in cohorts:
        ends, rows = [], []
        for i in cohort:
            old, gate = (olds.get(i, w), gates.get(i, np.ones_like(w))) if is_kept else (w, np.ones_like(w))
            gap = w - old
            for _ in range(WEIGHT_STEPS):
                gate = np.clip(gate - WEIGHT_LR * clients[i].grad(old + gap * gate) * gap, 0.0, bound)
            start = old + gap * gate
            for _ in range(clients[i].steps):
                start = start - LR * clients[i].grad(start)
            olds[i], gates[i] = start, gate
            ends.append(start)
            rows.append(clients[i].rows)
        w = np.average(ends, axis=0, weights=rows)
    return w, olds, gates


def test_five_rounds():
    algorithm = pfl.algorithms.fedala(
        parity.model(), optax.sgd(LR), adaptive="*", weight_lr=WEIGHT_LR, weight_steps=WEIGHT_STEPS, epochs=1, batch=2
    )
    ours = parity.run(algorithm, rounds=5)
    w, olds, gates = fedala(ours.clients, ours.cohorts, ours.start)
    np.testing.assert_allclose(ours.w, w, rtol=0, atol=1e-12)
    assert any(((gate > 0) & (gate < 1)).any() for gate in gates.values())
    found_olds, found_gates = ours.result.clients.kept
    for client, old in olds.items():
        np.testing.assert_allclose(np.asarray(found_olds.params["w"])[client], old, rtol=0, atol=1e-12)
        np.testing.assert_allclose(np.asarray(found_gates["w"])[client], gates[client], rtol=0, atol=1e-12)
    for wrong in ({"is_kept": False}, {"bound": 2.0}):
        assert np.abs(fedala(ours.clients, ours.cohorts, ours.start, **wrong)[0] - ours.w).max() > 1e-4
