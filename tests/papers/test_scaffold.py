"""SCAFFOLD. Karimireddy et al., ICML 2020, Algorithm 1, in numpy."""

import numpy as np
import optax
import pytest

import pfljax as pfl
from tests.support import parity

LR, LR_GLOBAL = 0.1, 0.7


def scaffold(clients, cohorts, x, option, sign=1, divisor=len):
    """(x, c, [c_i]). sign: -1 turns the correction round; divisor: of the sum of the variates' changes."""
    c, c_i = np.zeros_like(x), [np.zeros_like(x) for _ in clients]
    for cohort in cohorts:
        moves, changes = [], []
        for i in cohort:
            y = x.copy()
            for _ in range(clients[i].steps):
                y = y - LR * (clients[i].grad(y) - sign * c_i[i] + sign * c)
            one, two = clients[i].grad(x), c_i[i] - c + (x - y) / (clients[i].steps * LR)
            new = one if option == "gradient" else two
            moves.append(y - x)
            changes.append(new - c_i[i])
            c_i[i] = new
        x = x + LR_GLOBAL * np.mean(moves, axis=0)
        c = c + sum(changes) / divisor(clients)
    return x, c, c_i


@pytest.mark.parametrize("option", ["gradient", "difference"])
def test_three_rounds(option):
    algorithm = pfl.algorithms.scaffold(parity.model(), optax.sgd(LR_GLOBAL), lr=LR, option=option, epochs=1, batch=2)
    ours = parity.run(algorithm)
    assert len({client.steps for client in ours.clients}) > 1
    theirs = lambda **rule: scaffold(ours.clients, ours.cohorts, ours.start, option, **rule)
    x, c, c_i = theirs()
    np.testing.assert_allclose(ours.w, x, rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours.result.server.extra.variate["w"], c, rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours.result.clients.kept["w"][: len(ours.clients)], np.stack(c_i), rtol=0, atol=1e-12)
    away = lambda **rule: np.abs(theirs(**rule)[0] - ours.w).max()
    assert away(sign=-1) > 1e-3
    assert away(divisor=lambda clients: ours.cohorts.shape[1]) > 1e-3  # 1/|S| for 1/N
    # What converges with the right sign ends elsewhere with the wrong one, and runs away under option II.
    everybody = np.tile(np.arange(len(ours.clients)), (300, 1))
    best = np.linalg.solve(sum(k.a for k in ours.clients), sum(k.a @ k.c for k in ours.clients))
    right, wrong = (scaffold(ours.clients, everybody, ours.start, option, sign)[0] for sign in (1, -1))
    assert np.abs(right - best).max() < 1e-6
    assert np.abs(wrong - best).max() > (1e3 if option == "difference" else 0.1)
