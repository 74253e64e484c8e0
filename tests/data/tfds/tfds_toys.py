"""A TFDS data set of any rows, and rows that say which they are."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds


class Toy(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Any features, any rows, in the order given."""

    name = "toy"
    VERSION = tfds.core.Version("1.2.0")

    def __init__(self, features: dict[str, Any], rows: dict[str, list[dict]], **arguments: Any):
        self._toy = features, rows
        super().__init__(**arguments)

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(self._toy[0]), disable_shuffling=True, license="CC0"
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(rows) for split, rows in self._toy[1].items()}

    def _generate_examples(self, rows) -> Iterator[tuple[int, dict]]:
        yield from enumerate(rows)


VISITS = {
    "visit": {"clinic": tfds.features.Text(), "day": np.int64},
    "pixels": tfds.features.Tensor(shape=(2, 3), dtype=np.int16),
    "temperature": np.float32,
    "kind": tfds.features.ClassLabel(names=["cat", "dog", "owl"]),
    "note": tfds.features.Text(),
    "beats": tfds.features.Sequence(np.int32),
}


def visits(num: int, first: int = 0, clinics: int = 4) -> list[dict]:
    """Rows whose numbers say which row they are; clinics come in no order and under two names each."""
    draw = np.random.default_rng(first)
    return [
        {
            "visit": {"clinic": f"{draw.integers(clinics)}_{draw.choice(['left', 'right'])}", "day": row},
            "pixels": np.full((2, 3), row, np.int16),
            "temperature": row + 0.5,
            "kind": int(draw.integers(3)),
            "note": f"row {row}",
            "beats": [row] * int(draw.integers(3)),
        }
        for row in range(first, first + num)
    ]
