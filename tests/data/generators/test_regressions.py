"""The truth that comes with waves, mixtures and shared representations is the truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pfljax as pfl
from pfljax.data.generators import linear_representations, mixed_regressions, sinusoids

SPLITS = ("train", "validation", "test")


def rows(population, index, key):
    return population.arrays[key][population.offsets[index] : population.offsets[index + 1]].astype(float)


def least_squares(population, index):
    return np.linalg.lstsq(rows(population, index, "x"), rows(population, index, "y"), rcond=None)[0]


# ---- all ----


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 3), st.integers(0, 3), st.integers(0, 2**31 - 1))
@settings(max_examples=20, deadline=None)
def test_everybody_has_the_rows_asked_for(num_clients, train, validation, test, seed):
    for make in (sinusoids, mixed_regressions, linear_representations):
        population, truth = make(num_clients, num_rows=(train, validation, test), seed=seed)
        assert population.num_clients == num_clients
        for split, number in zip(SPLITS, (train, validation, test), strict=True):
            assert (population.sizes(split) == number).all()
        assert all(array.dtype == np.float32 for array in population.arrays.values())
        assert all(np.isfinite(array).all() for array in truth.values())


def test_a_generator_is_drawn_from():
    """A numpy Generator goes on where it stands; the same one gives new tasks."""
    stream = np.random.default_rng(5)
    first, second = sinusoids(3, seed=stream).population, sinusoids(3, seed=stream).population
    assert first.checksum() == sinusoids(3, seed=np.random.default_rng(5)).population.checksum() != second.checksum()


# ---- sinusoids ----


def test_waves_are_those_of_the_truth():
    """sin(x - b) a = a cos b sin x - a sin b cos x: least squares in sin x and cos x finds both."""
    population, truth = sinusoids(20, seed=1)
    for index in range(20):
        x, y = rows(population, index, "x")[:, 0], rows(population, index, "y")[:, 0]
        sine, cosine = np.linalg.lstsq(np.stack([np.sin(x), np.cos(x)], axis=1), y, rcond=None)[0]
        assert np.hypot(sine, cosine) == pytest.approx(truth["amplitude"][index], rel=1e-5)
        assert np.arctan2(-cosine, sine) == pytest.approx(truth["phase"][index], abs=1e-5)


def test_waves_fill_their_ranges():
    """Each third of a range has a third of 2,000 tasks, within five deviations."""
    population, truth = sinusoids(2000, (1, 0, 0), seed=0)
    drawn = {"amplitude": (0.1, 5), "phase": (0, np.pi)}
    for values, (least, most) in [(truth[key], ends) for key, ends in drawn.items()] + [
        (population.arrays["x"][:, 0], (-5, 5))
    ]:
        counts, _ = np.histogram(values, bins=3, range=(least, most))
        assert counts.sum() == 2000
        assert (np.abs(counts - 2000 / 3) < 5 * np.sqrt(2000 * 2 / 9)).all()


# ---- mixtures of linear regressions ----


def test_a_clients_rows_find_its_clusters_weights():
    population, truth = mixed_regressions(9, 3, dim=10, num_rows=(40, 10, 10), noise=0.0, scale=2.0, seed=4)
    assert set(np.unique(truth["weights"])) == {0.0, 2.0}
    assert truth["cluster"].tolist() == [0, 1, 2] * 3
    for index, cluster in enumerate(truth["cluster"]):
        np.testing.assert_allclose(least_squares(population, index), truth["weights"][cluster], atol=1e-5)


def test_noise_is_of_its_size():
    population, truth = mixed_regressions(2, 2, dim=4, num_rows=(4000, 0, 0), noise=0.5, seed=1)
    for index, cluster in enumerate(truth["cluster"]):
        left = rows(population, index, "y") - rows(population, index, "x") @ truth["weights"][cluster]
        assert np.std(left) == pytest.approx(0.5, rel=5 / np.sqrt(2 * 4000))


# ---- shared linear representations ----


def test_all_clients_weights_span_the_subspace():
    population, truth = linear_representations(30, dim=8, hidden=3, num_rows=(12, 0, 0), seed=2)
    np.testing.assert_allclose(truth["basis"].T @ truth["basis"], np.eye(3), atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(truth["heads"], axis=0), np.ones(3))
    found = np.stack([least_squares(population, index) for index in range(30)])
    np.testing.assert_allclose(found, truth["heads"] @ truth["basis"].T, atol=1e-5)
    spanned = np.linalg.svd(found)[2][:3].T
    sine = np.linalg.norm(spanned - truth["basis"] @ (truth["basis"].T @ spanned), 2)
    assert sine < 1e-5
    assert np.linalg.svd(found, compute_uv=False)[3] < 1e-5


def test_inputs_are_near_orthonormal():
    population, _ = linear_representations(1, dim=4, num_rows=(4000, 1000, 0), seed=0)
    x = population.client("c0")["x"]
    np.testing.assert_allclose(x.T @ x, np.eye(4), atol=5 / np.sqrt(4000))


def test_other_clients_of_the_same_subspace():
    first = linear_representations(5, seed=0)
    second = linear_representations(5, seed=1, basis=first.truth["basis"], dtype=np.float64)
    np.testing.assert_array_equal(first.truth["basis"], second.truth["basis"])
    assert not np.allclose(first.truth["heads"], second.truth["heads"])
    x, y = (second.population.arrays[key].reshape(5, 40, -1) for key in "xy")
    assert x.dtype == np.float64
    np.testing.assert_allclose(x @ (second.truth["basis"] @ second.truth["heads"].T).T[..., None], y, atol=1e-12)


# ---- bad input ----


@pytest.mark.parametrize("make", [sinusoids, mixed_regressions, linear_representations])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_clients": 0}, "num_clients: expected a whole number of at least 1, got 0"),
        ({"num_clients": 2.5}, "num_clients: expected a whole number"),
        ({"num_rows": (0, 1, 1)}, "num_rows for train: expected a whole number of at least 1, got 0"),
        ({"num_rows": (1, 1, -1)}, "num_rows for test: expected a whole number of at least 0, got -1"),
        ({"num_rows": (1, 1)}, "num_rows: expected three numbers, .*got \\(1, 1\\)"),
        ({"num_rows": 5}, "num_rows: expected three numbers, .*got 5"),
    ],
)
def test_bad_arguments(make, arguments, message):
    with pytest.raises(pfl.PflError, match=message):
        make(**arguments)


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (mixed_regressions, {"num_clusters": 0}, "num_clusters: expected"),
        (mixed_regressions, {"dim": 0}, "dim: expected"),
        (mixed_regressions, {"noise": -0.1}, "noise: expected a number of at least 0, got -0.1"),
        (mixed_regressions, {"scale": float("nan")}, "scale: expected a number of at least 0, got nan"),
        (linear_representations, {"noise": -1}, "noise: expected"),
        (linear_representations, {"hidden": 3, "dim": 2}, "hidden: expected at most dim, 2, got 3"),
        (linear_representations, {"dtype": np.int32}, "dtype: expected a float, got int32"),
        (linear_representations, {"basis": np.eye(3)}, r"basis: expected shape \[20, 2\], got \[3, 3\]"),
    ],
)
def test_bad_arguments_of_one(make, arguments, message):
    with pytest.raises(pfl.PflError, match=message):
        make(**arguments)
