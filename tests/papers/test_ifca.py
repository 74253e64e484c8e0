"""IFCA. Ghosh et al., NeurIPS 2020, Algorithm 1 with model averaging, in numpy."""

import numpy as np
import optax
import pytest

import pfljax as pfl
from pfljax.types import Vars
from tests.support import parity

LR = 0.1
STARTS = np.array([[0.4, 1.0, -0.1], [1.4, -0.7, 0.4]])


def ifca(clients, cohorts, starts, weighting, share_of=lambda own, cohort: own):
    """(clusters, all choices). `share_of`: what a cluster's sum is divided by, of (its own, the cohort's) weight."""
    clusters, chosen = starts.copy(), []
    for cohort in cohorts:
        choices, ends, weights = [], [], []
        for i in cohort:
            choices.append(int(np.argmin([clients[i].loss(theta) for theta in clusters])))
            w = clusters[choices[-1]].copy()
            for _ in range(clients[i].steps):
                w = w - LR * clients[i].grad(w)
            ends.append(w)
            weights.append(clients[i].rows if weighting == "examples" else 1)
        choices, ends, weights = np.array(choices), np.array(ends), np.array(weights)
        for j in set(choices.tolist()):
            own = choices == j
            moved = weights[own] @ (ends[own] - clusters[j])
            clusters[j] = clusters[j] + moved / share_of(weights[own].sum(), weights.sum())
        chosen.append(choices.tolist())
    return clusters, chosen


@pytest.mark.parametrize("weighting", ["examples", pytest.param("uniform", marks=pytest.mark.slow)])
def test_three_rounds(weighting):
    starts = [Vars({"w": start}) for start in STARTS]
    algorithm = pfl.algorithms.ifca(
        parity.model(), optax.sgd(LR), clusters=2, starts=starts, epochs=1, batch=2, weighting=weighting
    )
    ours = parity.run(algorithm, cohort=4)
    theirs, choices = ifca(ours.clients, ours.cohorts, STARTS, weighting)
    assert all(len(set(each)) == 2 for each in choices)
    found = np.asarray(ours.result.server.extra.params["w"])
    np.testing.assert_allclose(found, theirs, rtol=0, atol=1e-12)
    # The gradient variant divides by the whole cohort: another method.
    other, _ = ifca(ours.clients, ours.cohorts, STARTS, weighting, lambda own, cohort: cohort)
    assert np.abs(other - found).max() > 1e-3
