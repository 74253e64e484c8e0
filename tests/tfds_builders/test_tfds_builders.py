"""The embedded populations through TFDS: prepared, read back by another process, dealt, trained on."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
import tensorflow_datasets as tfds

import pfljax as pfl
import pfljax.tfds_builders
from pfljax.data.embedded import LOADERS
from pfljax.data.partition.basis import fingerprint
from pfljax.data.partition.record import by_owner
from pfljax.errors import PflError
from pfljax.tfds_builders import shared

NAMES = [f"pfl_{name}" for name in LOADERS]
SPLITS = {split: split for split in ("train", "validation", "test")}
FRESH = """
import json, sys
import pfljax as pfl
population = pfl.data.from_tfds({folder!r}, {splits!r}, client_key="client", group_key="group")
print(json.dumps([population.checksum(), population.about.num_classes, "tensorflow" in sys.modules]))
"""


def run(*command: str, cache: Path) -> str:
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "XDG_CACHE_HOME": str(cache),
        "HOME": str(cache),
    }
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """`pfl_wearable`, prepared by the very command that the error names."""
    where = tmp_path_factory.mktemp("it's here")
    with pytest.raises(PflError, match="expected prepared files in") as error:
        pfl.data.from_tfds("pfl_wearable", client_key="client", data_dir=where)
    run("bash", "-c", str(error.value).split("prepare it: ")[1], cache=where)
    return where


def test_a_fresh_process_reads_what_the_package_ships(prepared, tmp_path):
    code = FRESH.format(folder=str(prepared / "pfl_wearable" / "1.0.0"), splits=SPLITS)
    found = json.loads(run(sys.executable, "-c", code, cache=tmp_path))
    assert found == [pfl.data.load("wearable").checksum(), 7, False]


def test_tfds_finds_it_by_name_and_does_not_download(prepared):
    source = tfds.data_source("pfl_wearable", split="train", data_dir=prepared, download=False)
    assert len(source) == pfl.data.load("wearable").sizes("train").sum()
    assert (source[0]["client"], source[0]["group"]) == (b"subject1/left", b"subject1")


KEYS = {"split": SPLITS, "client_key": "client", "group_key": "group"}
DEAL = {
    "split": "train+test",
    "partition": lambda y: by_owner(np.arange(len(y)) % 12, [*"abcdefghijkl"], fingerprint(y), "robin", {}, None),
}


@pytest.mark.parametrize(("whose", "num_clients"), [(DEAL, 12), pytest.param(KEYS, 20, marks=pytest.mark.slow)])
def test_two_rounds(prepared, whose, num_clients):
    population = pfl.data.from_tfds("pfl_wearable", data_dir=prepared, **whose)
    assert population.num_clients == num_clients
    algorithm = pfl.algorithms.fedavg(pfl.models.mlp(population, (8,)), optax.sgd(0.1), steps=2, batch=8)
    result = pfl.simulate(algorithm, population, cohort=4, rounds=2, seed=0)
    assert int(result.server.round) == 2
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(result.vars.params))


@pytest.mark.parametrize("name", NAMES)
def test_every_embedded_population_has_one(name, tmp_path):
    builder = tfds.builder(name, data_dir=tmp_path)
    population = pfl.data.load(name.removeprefix("pfl_"))
    assert set(builder.info.features) == {*population.arrays, "client", *(["group"] if population.groups else [])}
    for array in population.arrays:
        feature = builder.info.features[array]
        assert (feature.shape, feature.np_dtype) == (population.arrays[array].shape[1:], population.arrays[array].dtype)
    assert builder.info.disable_shuffling
    assert builder.info.redistribution_info.license == population.about.licence
    assert len(builder.info.description) > 100
    assert "title = {" in builder.info.citation


@pytest.mark.parametrize("name", NAMES)
def test_examples_are_the_rows_in_order(name):
    population = pfl.data.load(name.removeprefix("pfl_"))
    few = population.take(np.argsort(population.sizes())[:5])  # the smallest
    for split in shared.splits(few):
        keys, examples = zip(*shared.examples(few, split), strict=True)
        assert keys == tuple(range(few.sizes(split).sum()))
        rows = iter(examples)
        for client in few.ids:
            arrays = few.client(client, split)
            for row in range(len(next(iter(arrays.values())))):
                example = next(rows)
                assert example["client"] == client
                for array, values in arrays.items():
                    np.testing.assert_array_equal(example[array], values[row])
        assert next(rows, None) is None


@pytest.mark.parametrize("name", NAMES)
def test_every_builder_prepares_and_reads_back(name, tmp_path):
    """Its first 50 rows of each split: whole ones take TFDS minutes."""
    builder = tfds.builder(name, data_dir=tmp_path)
    few = tfds.download.DownloadConfig(max_examples_per_split=50)
    builder.download_and_prepare(file_format="array_record", download_config=few)
    population = pfl.data.load(name.removeprefix("pfl_"))
    read = pfl.data.from_tfds(builder, "train", client_key="client", shares=(1.0, 0.0, 0.0))
    assert read.num_rows == 50
    for client in read.ids[:-1]:  # the last may be cut short
        for array, values in read.client(client).items():
            np.testing.assert_array_equal(values, population.client(client)[array])
    assert read.about.num_classes == population.about.num_classes


def test_splits_without_rows_are_left_out():
    people = {name: {"x": np.ones((4, 2), np.float32)} for name in "ab"}
    population = pfl.data.Population.from_clients(people, (0.5, 0.0, 0.5))
    assert shared.splits(population) == ("train", "test")


@pytest.mark.parametrize("taken", ["client", "group"])
def test_arrays_called_like_keys_are_refused(taken):
    population = pfl.data.Population.from_clients({"a": {taken: np.ones(3)}})
    with pytest.raises(PflError, match=f"array '{taken}': expected another name"):
        shared.info(None, population)


def test_all_are_exported():
    assert sorted(pfljax.tfds_builders.__all__) == sorted(NAMES)
