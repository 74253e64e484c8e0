"""Synthetic(alpha, beta), in the variants of FedProx and pFedMe, is what its papers say."""

import numpy as np
import pytest

import pfljax as pfl
from pfljax.data.generators import synthetic, synthetic_pfedme

SPLITS = ("train", "validation", "test")


def test_sizes_of_fedprox():
    sizes = np.diff(synthetic().population.offsets)
    assert len(sizes) == 30
    assert (int(sizes.sum()), int(sizes.min()), int(sizes.max())) == (5478, 50, 1066)


def test_sizes_of_pfedme_are_five_times_those_of_fedprox():
    sizes = np.diff(synthetic_pfedme().population.offsets)
    assert len(sizes) == 100
    assert (sizes % 5 == 0).all()
    assert sizes.min() >= 250
    logs = np.log(sizes / 5 - 50 + 0.5)
    assert abs(np.median(logs) - 4) < 3 * 1.2533 * 2 / np.sqrt(100)


@pytest.mark.parametrize("make", [synthetic, synthetic_pfedme])
def test_labels_are_the_truths(make):
    """Where two classes are as good as equal, rounding of x to float32 may decide; nowhere else."""
    population, truth = make(num_clients=8, seed=2)
    for index, name in enumerate(population.ids):
        x, y = (np.concatenate([population.client(name, split)[key] for split in SPLITS]) for key in "xy")
        scores = x.astype(float) @ truth["weights"][index] + truth["bias"][index]
        best, second = np.sort(scores, axis=1)[:, :-3:-1].T
        clear = best - second > 1e-4
        assert clear.mean() > 0.99
        np.testing.assert_array_equal(scores.argmax(axis=1)[clear], y[clear])


def test_inputs_scatter_as_the_paper_says():
    """Feature j of a client has variance j^-1.2 around a mean of its own."""
    population, truth = synthetic(0.5, 0.5, num_clients=5, seed=3)
    big = int(np.argmax(population.sizes("train")))
    x = population.client(population.ids[big])["x"].astype(float)
    variance = np.arange(1, 61) ** -1.2
    np.testing.assert_allclose(x.var(axis=0), variance, rtol=6 / np.sqrt(len(x)))
    assert (np.abs(x.mean(axis=0) - truth["input_mean"][big]) < 5 * np.sqrt(variance / len(x))).all()


def test_alpha_and_beta_spread_clients_apart():
    def centres(alpha, beta, key):
        return synthetic(alpha, beta, num_clients=40, seed=1).truth[key].reshape(40, -1).mean(axis=1)

    for key, arguments in {"weights": (4, 0), "input_mean": (0, 4)}.items():
        count = 600 if key == "weights" else 60
        assert np.std(centres(0, 0, key)) < 2 / np.sqrt(count)
        assert 2 < np.std(centres(*arguments, key)) < 6


@pytest.mark.parametrize("make", [synthetic, synthetic_pfedme])
@pytest.mark.parametrize(
    ("arguments", "name"),
    [((-1, 0), "alpha"), ((float("nan"), 0), "alpha"), ((0, -1), "beta"), ((0, 0, 0), "num_clients")],
)
def test_bad_arguments(make, arguments, name):
    with pytest.raises(pfl.PflError, match=f"{name}: expected"):
        make(*arguments)
