"""One small finished run that many tests look at."""

from pathlib import Path

import jax
import pytest

from pfljax.cli import main

assert jax.device_count() == 8  # JAX is up before the command line could ask for another number of devices

SMALL = [
    *("run", "wearable", "--rounds", "2", "--warmup-rounds", "3", "--cohort", "4", "--population.hidden", "4"),
    *("--warmup.steps", "2", "--adapt.most-steps", "4", "--local.most-steps", "2"),
]


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "finished"
    options = ["--algorithm.inner-steps", "1", "--algorithm.steps", "2", "--out", str(out)]
    assert main([*SMALL, *options]) == 0
    return out
