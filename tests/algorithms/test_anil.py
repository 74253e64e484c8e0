"""ANIL: what its meta-steps learn, where the inner loop moves the last coordinate alone."""

import numpy as np
import optax
import pytest

import pfljax as pfl
from tests.papers.test_anil import split_model
from tests.support import closed


def test_learned_point():
    """J' A J (theta - c) averages to 0, J = (I - alpha M A)^2; neither MAML's point nor joint training's."""
    alpha, zoo = 0.15, closed.Zoo(4)
    algorithm = pfl.algorithms.anil(
        split_model(), optax.sgd(0.2), adapt="head", inner_lr=alpha, inner_steps=2, steps=1, batch=None
    )
    result = zoo.run(algorithm, 1000)
    found = np.concatenate([np.asarray(result.vars.params[name]) for name in ("body", "head")])

    def learned(mask):
        inner = [np.linalg.matrix_power(closed.EYE - alpha * np.diag(mask) @ a, 2) for a in zoo.a]
        return closed.solve([j.T @ a @ j for j, a in zip(inner, zoo.a, strict=True)], zoo.c)

    np.testing.assert_allclose(found, learned([0.0, 0.0, 1.0]), rtol=0, atol=1e-10)
    assert all(np.abs(found - learned(mask)).max() > 1e-3 for mask in ([1.0, 1.0, 1.0], [0.0, 0.0, 0.0]))


def test_a_pattern_that_matches_nothing():
    algorithm = pfl.algorithms.anil(split_model(), adapt="tail", steps=1, batch=None)
    with pytest.raises(pfl.PflError, match="pattern 'tail': expected it to match a parameter"):
        closed.Zoo(2).run(algorithm, 1)
