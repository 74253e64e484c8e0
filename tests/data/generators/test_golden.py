"""What generators make with seed 0 does not change: `golden.json`, written by running this file.

Numbers are compared to 1e-5, for the last digits of logarithms and products differ between machines.
"""

import json
from pathlib import Path

import numpy as np
import pytest

import pfljax as pfl
from pfljax.data import generators as made_by

FILE = Path(__file__).with_name("golden.json")
ARGUMENTS = {
    "synthetic": {},
    "synthetic_pfedme": {"num_clients": 20},
    "sinusoids": {"num_clients": 50},
    "mixed_regressions": {"num_clients": 10},
    "linear_representations": {},
    "quadratics": {},
    "emnist_alike": {"scale": 0.002},
    "cifar10_alike": {"scale": 0.02},
    "cifar100_alike": {"scale": 0.01},
    "shakespeare_alike": {"scale": 0.005},
    "stackoverflow_alike": {"scale": 0.0001},
}


def generated(name: str, **others) -> made_by.Generated:
    made = getattr(made_by, name)(**ARGUMENTS[name] | others)
    return made if isinstance(made, made_by.Generated) else made_by.Generated(made, {})


def summary(made: made_by.Generated) -> dict:
    population, truth = made
    sizes = np.diff(population.offsets)
    few_classes = 0 < population.about.num_classes <= 100
    return {
        "about": [population.about.name, population.about.task, population.about.num_classes],
        "clients": [population.num_clients, *population.ids[:2]],
        "sizes": [int(sizes.min()), float(np.median(sizes)), int(sizes.max()), int(sizes.sum())],
        "splits": [int(population.sizes(split).sum()) for split in ("train", "validation", "test")],
        "labels": np.bincount(population.arrays["y"], minlength=population.about.num_classes).tolist()
        if few_classes
        else [],
        "arrays": {name: [str(array.dtype), list(array.shape[1:])] for name, array in population.arrays.items()},
        "numbers": {
            name: [float(f"{figure:.6g}") for figure in (array.mean(dtype=float), array.std(dtype=float))]
            for name, array in {**population.arrays, **truth}.items()
        },
    }


def test_every_generator_is_here():
    assert set(ARGUMENTS) == set(made_by.__all__) - {"Generated"} == set(json.loads(FILE.read_text()))


@pytest.mark.parametrize("name", ARGUMENTS)
def test_the_data_of_seed_0(name):
    """A change here changes every figure that was recorded on it."""
    found, golden = summary(generated(name)), json.loads(FILE.read_text())[name]
    numbers = golden.pop("numbers")
    assert found.pop("numbers") == {key: pytest.approx(figures, rel=1e-5, abs=1e-6) for key, figures in numbers.items()}
    assert found == golden


@pytest.mark.parametrize("name", ARGUMENTS)
def test_the_seed_decides_everything(name):
    first, again, other = generated(name), generated(name, seed=0), generated(name, seed=1)
    assert first.population.checksum() == again.population.checksum()
    assert first.population.checksum() != other.population.checksum()
    for key in first.truth:
        np.testing.assert_array_equal(first.truth[key], again.truth[key])
    for key, array in first.population.arrays.items():
        assert not np.array_equal(array, other.population.arrays[key])


@pytest.mark.parametrize("name", ARGUMENTS)
@pytest.mark.parametrize("seed", [-1, 0.5, "0", None])
def test_bad_seeds(name, seed):
    with pytest.raises(pfl.PflError, match="seed: expected a whole number"):
        generated(name, seed=seed)


if __name__ == "__main__":
    golden = {name: summary(generated(name)) for name in ARGUMENTS}
    lines = (f" {json.dumps(name)}: {json.dumps(figures)}" for name, figures in golden.items())
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
