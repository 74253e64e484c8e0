"""Mime and MimeLite. Karimireddy et al., NeurIPS 2021, Algorithm 1 with heavy-ball momentum as its base, in numpy.

Base optimizer: a step U(g, s) = g + beta s, statistics V(g, s) = g + beta s. Rows of one client are alike, so the full
gradient is a batch's.
"""

import numpy as np
import optax
import pytest

import pfljax as pfl
from tests.support import parity

LR, BETA = 0.1, 0.6


def mime(clients, cohorts, x, lite, frozen=True):
    s = np.zeros_like(x)
    for cohort in cohorts:
        p = np.array([clients[i].rows for i in cohort], float)
        p /= p.sum()
        c = p @ [clients[i].grad(x) for i in cohort]
        ends = []
        for i in cohort:
            y, own = x.copy(), s
            for _ in range(clients[i].steps):
                g = clients[i].grad(y) if lite else clients[i].grad(y) - clients[i].grad(x) + c
                step = g + BETA * own
                y = y - LR * step
                own = own if frozen else step
            ends.append(y)
        x, s = p @ ends, c + BETA * s
    return x


@pytest.mark.parametrize("name", ["mimelite", "mime"])
def test_three_rounds(name):
    make = getattr(pfl.algorithms, name)
    ours = parity.run(make(parity.model(), optax.sgd(LR, momentum=BETA), epochs=1, batch=2))
    assert len({client.steps for client in ours.clients}) > 1
    theirs = lambda *rule: mime(ours.clients, ours.cohorts, ours.start, *rule)
    np.testing.assert_allclose(ours.w, theirs(name == "mimelite"), rtol=0, atol=1e-12)
    away = lambda *rule: np.abs(theirs(*rule) - ours.w).max()
    assert away(name != "mimelite") > 1e-3  # without, or with, the correction
    assert away(name == "mimelite", False) > 1e-3  # statistics that move inside a client
