"""Synthetic(alpha, beta) is what its paper says, and always the same."""

import numpy as np
import pytest

import pfljax as pfl


def test_a_golden_summary():
    """A change here changes every figure that was recorded on it."""
    population = pfl.data.synthetic()
    sizes = np.diff(population.offsets)
    assert population.num_clients == 30
    assert (int(sizes.sum()), int(sizes.min()), int(sizes.max())) == (5478, 50, 1066)
    assert population.checksum() == pfl.data.synthetic().checksum()
    assert population.checksum() != pfl.data.synthetic(seed=1).checksum()


def test_inputs_scatter_as_the_paper_says():
    """Feature j of a client has variance j^-1.2 around a mean of its own."""
    population = pfl.data.synthetic(0.5, 0.5, num_clients=5, seed=3)
    big = population.ids[int(np.argmax(population.sizes("train")))]
    found = population.client(big)["x"].var(axis=0)
    rows = len(population.client(big)["x"])
    np.testing.assert_allclose(found, np.arange(1, 61) ** -1.2, rtol=6 / np.sqrt(rows))


def test_alpha_and_beta_spread_clients_apart():
    def spread(alpha, beta):
        population = pfl.data.synthetic(alpha, beta, num_clients=40, seed=1)
        means = [population.client(name)["x"].mean() for name in population.ids]
        return np.std(means)

    assert spread(0, 0) < 0.3 < 2 < spread(0, 4)


@pytest.mark.parametrize(("arguments", "name"), [((-1, 0), "alpha"), ((0, -1), "beta"), ((0, 0, 0), "num_clients")])
def test_bad_arguments(arguments, name):
    with pytest.raises(pfl.PflError, match=f"{name}: expected"):
        pfl.data.synthetic(*arguments)
