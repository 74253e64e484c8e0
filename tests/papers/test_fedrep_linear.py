"""FedRep learns a linear representation as published (Collins et al., ICML 2021, section 5), curve for curve."""

import sys
from pathlib import Path

import jax
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from reproductions import fedrep_linear

# dist^2 after so many rounds of an independent run with exact heads, without noise, from another start.
REFERENCE = {50: 6.3e-3, 100: 1.2e-6}


@pytest.mark.slow
def test_the_distance_falls_as_with_exact_heads():
    """From .99 to 1e-5 in 100 rounds; a rate that is wrong by a tenth would be seen."""
    with jax.enable_x64(True):
        given = fedrep_linear.problem(20, 0.0, seed=1)
        exact = fedrep_linear.exact(given, 100, REFERENCE)
        found = fedrep_linear.ours(given, 100, REFERENCE)
    assert found[0] > 0.9
    for round, reference in REFERENCE.items():
        assert found[round] == pytest.approx(exact[round], rel=0.02)
        assert reference / 10 < found[round] < 10 * reference
    rate = lambda curve: (curve[100] / curve[50]) ** (1 / 50)  # by round, whatever the start was
    assert rate(found) == pytest.approx(rate(REFERENCE), abs=0.03)
    assert fedrep_linear.exact(given, 100, REFERENCE, rate=0.11)[100] < 0.5 * found[100]
