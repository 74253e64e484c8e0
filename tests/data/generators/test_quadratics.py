"""The minimizers that come with quadratics are where their gradients vanish."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pfljax as pfl
from pfljax.data.generators import quadratics

SPLITS = ("train", "validation", "test")


def gradient(rows, w):
    """Of the mean over rows of curvature' (w - x)^2 / 2, by a plain loop."""
    return sum(h.astype(float) * (w - x) for x, h in zip(rows["x"], rows["curvature"], strict=True)) / len(rows["x"])


@given(st.integers(1, 6), st.integers(1, 4), st.tuples(st.integers(1, 7), st.integers(1, 5), st.integers(1, 5)))
@settings(max_examples=25, deadline=None)
def test_optima_are_the_means_to_the_bit(num_clients, dim, num_rows):
    population, truth = quadratics(num_clients, dim, num_rows, seed=3)
    for index, name in enumerate(population.ids):
        for split in SPLITS:
            rows = population.client(name, split)
            np.testing.assert_array_equal(rows["x"].sum(axis=0) / np.float32(len(rows["x"])), truth["optima"][index])
            np.testing.assert_array_equal(rows["curvature"], np.tile(truth["curvature"][index], (len(rows["x"]), 1)))


def test_gradients_vanish_at_the_minimizers():
    population, truth = quadratics(6, 3, condition=50.0, seed=1)
    clients = [population.client(name) for name in population.ids]
    for rows, optimum in zip(clients, truth["optima"], strict=True):
        np.testing.assert_allclose(gradient(rows, optimum), 0, atol=1e-12)
    together = lambda w: sum(gradient(rows, w) for rows in clients) / 6
    np.testing.assert_allclose(together(truth["minimizer"]), 0, atol=1e-12)
    assert np.abs(together(truth["optima"].mean(axis=0))).max() > 0.1  # curvatures differ, so it is not the mean


def test_condition_one_has_the_mean_as_minimizer():
    _, truth = quadratics(5, 4, condition=1.0, seed=2)
    assert (truth["curvature"] == 1).all()
    np.testing.assert_allclose(truth["minimizer"], truth["optima"].mean(axis=0))


def test_spread_and_noise_are_of_their_size():
    population, truth = quadratics(2000, 3, (6, 0, 0), spread=0.25, noise=2.0, seed=0)
    assert np.std(truth["optima"] - truth["optima"].mean(axis=0)) == pytest.approx(0.25, rel=5 / np.sqrt(2 * 6000))
    around = population.arrays["x"].reshape(2000, 6, 3) - truth["optima"][:, None]
    assert np.std(around) == pytest.approx(2.0, rel=5 / np.sqrt(2 * 18000))
    assert 1 <= truth["curvature"].min() < 1.1 < 9 < truth["curvature"].max() <= 10.000001


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_clients": 0}, "num_clients: expected a whole number of at least 1, got 0"),
        ({"dim": 0}, "dim: expected"),
        ({"num_rows": (0, 0, 0)}, "num_rows for train: expected"),
        ({"spread": -1}, "spread: expected a number of at least 0, got -1"),
        ({"noise": float("nan")}, "noise: expected"),
        ({"condition": 0.5}, "condition: expected a number of at least 1, got 0.5"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(pfl.PflError, match=message):
        quadratics(**arguments)
