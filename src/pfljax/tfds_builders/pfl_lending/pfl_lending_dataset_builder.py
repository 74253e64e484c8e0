"""`pfl.data.load("lending")` as a TFDS data set."""

import tensorflow_datasets as tfds

from pfljax.data import load
from pfljax.tfds_builders import shared


class Builder(tfds.core.GeneratorBasedBuilder):
    """TFDS finds its name, README.md and CITATIONS.bib by where this file lies."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return shared.info(self, load("lending"))

    def _split_generators(self, dl_manager):
        population = load("lending")
        return {split: self._generate_examples(population, split) for split in shared.splits(population)}

    def _generate_examples(self, population, split):
        return shared.examples(population, split)
