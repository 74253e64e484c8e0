"""L2GD: the mixture of local models that it seeks, the coin, and its bounds."""

import numpy as np
import pytest

import pfljax as pfl
from tests.support import closed

LAM = 0.9


def test_optimum():
    """x_i = (A_i + lam I)^-1 (A_i c_i + lam mean x), but for the coin's noise, which shrinks with lr."""
    zoo = closed.Zoo(4)
    optimum = closed.mixture_of_local_models(zoo.a, zoo.c, LAM)
    for x, a, c in zip(optimum, zoo.a, zoo.c, strict=True):
        right = a @ c + LAM * optimum.mean(axis=0)
        np.testing.assert_allclose(x, np.linalg.solve(a + LAM * closed.EYE, right), rtol=0, atol=1e-12)
    result = zoo.run(pfl.algorithms.l2gd(closed.model(), lam=LAM, prob=0.4, lr=0.001), 12_000)
    distance = lambda x: np.sqrt(((closed.own(result) - x) ** 2).mean())
    assert distance(optimum) < 0.03
    assert distance(np.stack(zoo.c)) > 0.3  # everybody alone
    assert distance(np.tile(closed.solve(zoo.a, zoo.c), (4, 1))) > 0.3  # one model for all
    np.testing.assert_allclose(closed.shared(result), closed.own(result).mean(axis=0), rtol=0, atol=1e-13)
    coins = np.array([record["coin"] for record in result.records])
    assert abs(coins.mean() - 0.4) < 4 * np.sqrt(0.4 * 0.6 / len(coins))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lam": -1.0}, "lam: expected a number of at least 0, got -1.0"),
        ({"prob": 0.0}, "prob: expected a number between 0 and 1, got 0.0"),
        ({"prob": 1.0}, "prob: expected a number between 0 and 1, got 1.0"),
        ({"prob": float("nan")}, "prob: expected a number between 0 and 1, got nan"),
        ({"lam": 10.0}, "lr: expected lr \\* lam of at most prob = 0.2, got 0.5; lower lr or raise prob"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(pfl.PflError, match=message):
        pfl.algorithms.l2gd(closed.model(), **arguments)
