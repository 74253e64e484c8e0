"""FedFomo. Zhang et al., ICLR 2021, Algorithm 1 (eq. 4 to 6), in numpy, with everybody a candidate."""

from dataclasses import replace

import numpy as np
import optax

import pfljax as pfl
from tests.support import parity
from tests.support.zoo import quadratics

LR, TINY = 0.1, 1e-5


def fedfomo(clients, cohorts, start, is_clipped=True, is_far=True):
    """[client] models, and what each thought of every other [client, client], summed over rounds."""
    models = np.tile(start, (len(clients), 1))
    affinity = np.zeros((len(clients), len(clients)))
    for cohort in cohorts:
        new = models.copy()
        for i in cohort:
            mine, loss = models[i], clients[i].loss
            others = [n for n in range(len(clients)) if n != i]
            gain = np.array([loss(mine) - loss(models[n]) for n in others])
            far = np.array([np.linalg.norm(models[n] - mine) for n in others])
            weights = gain / (far + TINY) if is_far else gain
            affinity[i, others] += weights  # who harms is remembered too
            weights = np.maximum(weights, 0) if is_clipped else weights
            total = weights.sum()
            w = mine + (weights / total) @ (models[others] - mine) if total > 0 else mine
            for _ in range(clients[i].steps):
                w = w - LR * clients[i].grad(w)
            new[i] = w
        models = new
    return models, affinity


def with_validation(*arguments, **named):
    """The last two rows of every client are for validation; all its rows are alike."""
    population, matrices, centres = quadratics(*arguments, **named)
    total = np.diff(population.offsets)
    return replace(population, bounds=np.stack([total - 2, total], axis=1)), matrices, centres


def test_five_rounds(monkeypatch):
    monkeypatch.setattr(parity, "quadratics", with_validation)
    algorithm = pfl.algorithms.fedfomo(parity.model(), optax.sgd(LR), candidates=4, epochs=1, batch=2)
    ours = parity.run(algorithm, rounds=5)
    models, affinity = fedfomo(ours.clients, ours.cohorts, ours.start)
    every, found = ours.result.server.extra
    mine = np.asarray(every.params["w"])
    np.testing.assert_allclose(mine, models, rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours.w, models[ours.cohorts[-1]].mean(axis=0), rtol=0, atol=1e-12)
    off = ~np.eye(len(models), dtype=bool)
    # What helps is remembered in float32, above some noise that breaks ties.
    np.testing.assert_allclose(np.asarray(found)[off], affinity[off], rtol=1e-6, atol=2 * TINY)
    for wrong in ({"is_clipped": False}, {"is_far": False}):
        assert np.abs(fedfomo(ours.clients, ours.cohorts, ours.start, **wrong)[0] - mine).max() > 1e-4
