"""Configurations check themselves; presets are complete."""

from dataclasses import replace

import jax
import pytest

from pfljax import PflError, data
from pfljax.run.config import AdaptConfig, LocalConfig, RunConfig, WarmupConfig, options, plain
from pfljax.run.methods import DittoConfig, FinetuneConfig, PerFedAvgConfig
from pfljax.run.populations import KeyboardConfig, WearableConfig
from pfljax.run.presets import DEFAULT, PRESETS


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: RunConfig(rounds=0), "--rounds: expected a whole number of at least 1, got 0; raise it"),
        (lambda: RunConfig(warmup_rounds=-1), "--warmup-rounds: expected a whole number of at least 0, got -1"),
        (lambda: RunConfig(cohort=0), "--cohort: expected a whole number of at least 1, got 0"),
        (lambda: RunConfig(seed=-1), "--seed: expected a whole number of at least 0, got -1"),
        (lambda: RunConfig(seed=2**31), "--seed: expected a whole number below 2147483648, got 2147483648; lower it"),
        (lambda: RunConfig(unseen=1.0), r"--unseen: expected a share in \[0, 1\), got 1.0; try 0.2"),
        (lambda: RunConfig(rounds=True), "--rounds: expected a whole number"),
        (lambda: WarmupConfig(lr=0.0), "--warmup.lr: expected a finite number above 0, got 0.0; try 0.1"),
        (lambda: WarmupConfig(lr=float("nan")), "--warmup.lr: expected a finite number above 0, got nan"),
        (lambda: WarmupConfig(batch=0), "--warmup.batch: expected a whole number of at least 1, got 0"),
        (lambda: AdaptConfig(most_steps=0), "--adapt.most-steps: expected a whole number of at least 1, got 0"),
        (lambda: LocalConfig(lr=-1.0), "--local.lr: expected a finite number above 0, got -1.0"),
        (lambda: PerFedAvgConfig(inner_steps=0), "--algorithm.inner-steps: expected a whole number of at least 1"),
        (lambda: PerFedAvgConfig(inner_lr=float("inf")), "--algorithm.inner-lr: expected a finite number above 0"),
        (lambda: DittoConfig(lam=-0.1), "--algorithm.lam: expected a finite number of at least 0, got -0.1"),
        (lambda: KeyboardConfig(min_characters=5), "--population.min-characters: expected a whole number of at least"),
        (lambda: WearableConfig(hidden=0), "--population.hidden: expected a whole number of at least 1, got 0"),
    ],
)
def test_refused_values_name_the_option(make, said):
    with pytest.raises(PflError, match=said):
        make()


def test_no_warm_start_is_allowed():
    assert RunConfig(warmup_rounds=0).warmup_rounds == 0


def test_plain_names_every_part():
    found = plain(PRESETS["keyboard"].config("ditto"))
    assert found["population"]["name"] == "keyboard"
    assert found["algorithm"] == {
        "name": "ditto", "lr": 1.0, "personal_lr": 0.3, "lam": 0.1, "steps": 20, "batch": 64,
    }  # fmt: skip


def test_options_are_the_command_lines():
    found = options(RunConfig())
    assert found["--warmup.lr"] == 1.0
    assert found["--algorithm.inner-lr"] == 0.3
    assert found["--warmup-rounds"] == 300


def test_presets():
    assert PRESETS[DEFAULT].run == RunConfig()
    for name, preset in PRESETS.items():
        assert preset.run.population.name == name
        assert preset.run.algorithm == preset.algorithms[0]
        assert preset.config("fedavg-finetune").algorithm == FinetuneConfig()
    with pytest.raises(PflError, match=r"algorithm: expected one of .*, got 'dito', did you mean 'ditto'"):
        PRESETS["keyboard"].config("dito")


def test_models_and_algorithms_are_built_from_their_fields():
    population = data.load("wearable")
    model = WearableConfig(hidden=5).model(population)
    params = jax.eval_shape(model.init, jax.random.key(0)).params
    assert params["head"]["kernel"].shape == (5, 7)
    for config in PRESETS["wearable"].algorithms:
        assert config.build(model, RunConfig()).name == config.name


def test_a_pattern_that_matches_nothing_is_refused_early():
    model = WearableConfig().model(data.load("wearable"))
    with pytest.raises(PflError, match="pattern 'haed/\\*': expected it to match a parameter"):
        replace(PerFedAvgConfig(), adapt="haed/*").build(model, RunConfig())
