"""What all builders do: a population's features, its splits, its rows as examples."""

from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

from pfljax.data.population import Population
from pfljax.errors import PflError

SPLITS = ("train", "validation", "test")
CLIENT, GROUP = "client", "group"


def info(builder: tfds.core.DatasetBuilder, population: Population) -> tfds.core.DatasetInfo:
    """The features of a population's arrays, and what it says about itself; README.md and CITATIONS.bib are added.

    Raises PflError for an array called "client" or "group": these names are taken.
    """
    if taken := {CLIENT, GROUP} & population.arrays.keys():
        raise PflError(f"array {min(taken)!r}: expected another name, which TFDS examples use for ids; rename it")
    features: dict[str, Any] = {
        name: tfds.features.Tensor(shape=array.shape[1:], dtype=array.dtype.type)
        for name, array in population.arrays.items()
    }
    features[CLIENT] = tfds.features.Text()
    if population.groups is not None:
        features[GROUP] = tfds.features.Text()
    about = population.about
    return builder.dataset_info_from_configs(
        features=tfds.features.FeaturesDict(features),
        supervised_keys=("x", "y") if {"x", "y"} <= population.arrays.keys() else None,
        disable_shuffling=True,
        license=about.licence,
        metadata=tfds.core.MetadataDict(num_classes=about.num_classes, task=about.task, source=about.source),
    )


def splits(population: Population) -> tuple[str, ...]:
    """The splits that have any rows."""
    return tuple(split for split in SPLITS if population.sizes(split).any())


def examples(population: Population, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number, example) for each row of a split, client by client in the population's order."""
    number = 0
    starts, counts = population.span(split)
    for client, (start, count) in enumerate(zip(starts.tolist(), counts.tolist(), strict=True)):
        names = {CLIENT: population.ids[client]}
        if population.groups is not None:
            names[GROUP] = population.groups[client]
        for row in range(start, start + count):
            yield number, {name: array[row] for name, array in population.arrays.items()} | names
            number += 1
