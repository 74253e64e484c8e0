"""IFCA's published behaviour: the clusters of a mixture of linear regressions are recovered from random starts."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from reproductions import ifca_linear as script


def test_clusters_are_matched_to_the_truth():
    truth = np.array([[0.0, 0.0], [3.0, 4.0]])
    assert script.distance(truth[::-1], truth) == 0
    assert script.distance(truth[[0, 0]], truth) == 2.5  # both at one true cluster is no recovery
    assert script.is_success(np.array([9.0, 0.06]), 0.1)
    assert not script.is_success(np.array([0.062]), 0.1)


@pytest.mark.slow
def test_separated_clusters_are_recovered():
    """sigma = 0.1, r = 1, in a tenth of the rows and dimensions, which keeps their ratios, and 200 rounds."""
    found = script.distances(script.mixture(0.1, 1.0, seed=0, shrink=10), num_rounds=200)
    assert script.is_success(found, 0.1)
    assert found.min() > 0.04  # what 500 rows a cluster leave of 100 coefficients: sigma sqrt(100 / 399) = 0.05
