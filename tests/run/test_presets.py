"""Every embedded population has a run, with a model that fits it; the whole command works (slow)."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pfljax.cli import main
from pfljax.data.embedded import LOADERS
from pfljax.run.options import parse
from pfljax.run.presets import PRESETS

VARIANTS = [
    "insurance --population.target spend",
    "purchases --population.target gap",
    "plays --population.hold-out play",
    "digits --population.partition dirichlet --population.alpha 0.1",
]


def test_every_population_has_a_run_and_no_other():
    assert set(PRESETS) == set(LOADERS)
    assert all(PRESETS[name].run.population.name == name for name in PRESETS)


@pytest.mark.parametrize("words", [*sorted(PRESETS), *VARIANTS])
def test_the_model_takes_the_population(words):
    config = parse(words.split())
    population = config.population.load()
    model = config.population.model(population)
    rows = {name: jnp.asarray(array[:4]) for name, array in population.arrays.items()} | {"mask": jnp.ones(4, bool)}
    outputs, _ = model.apply(model.init(jax.random.key(0)), rows, jax.random.key(1), False)
    each = model.loss(outputs, rows)
    assert each.value.shape == each.weight.shape == (4,)
    assert np.isfinite(each.value).all()
    name, metric = model.metrics[0]
    assert metric.better == ("higher" if name == "accuracy" else "lower")
    assert config.cohort <= (1 - config.unseen) * population.num_clients


def test_the_loans_are_judged_by_their_loss():
    """One in twenty goes bad: who says that none does is right nineteen times."""
    config = parse(["lending"])
    assert config.population.model(config.population.load()).metrics[0][0] == "loss"


def test_the_partition_is_that_of_the_options():
    config = parse(["digits", "--population.partition", "dirichlet", "--population.alpha", "0.1"])
    population = config.population.load()
    assert len(population.about.partition) == 64
    assert (
        population.about.partition != parse(VARIANTS[3].replace("0.1", "0.2").split()).population.load().about.partition
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["insurance", "lending"])  # counts with an exposure, classes judged by their loss
def test_the_command_runs(name, tmp_path, capfd):
    few = "--rounds 2 --warmup-rounds 3 --cohort 4 --adapt.most-steps 4 --local.most-steps 4 --unseen 0.5"
    assert main(["run", name, *few.split(), "--out", str(tmp_path / "run")]) == 0
    rows = json.loads((tmp_path / "run" / "summary.json").read_text())["rows"]
    assert {row["model"] for row in rows} >= {"constant", "FedAvg shared", "MAML personalized", "donor control"}
    assert all(np.isfinite(row["mean"]) for row in rows)
