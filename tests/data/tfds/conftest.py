"""Small TFDS data sets, prepared by the tests themselves."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
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


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> Path:
    """Every test starts with an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pfljax" / "tfds"


@pytest.fixture
def made(tmp_path) -> Callable[..., Any]:
    """made(features, {split: rows}): a builder, prepared in the test's folder unless file_format is None."""

    def make(features: dict[str, Any], rows: dict[str, list[dict]], file_format: str | None = "array_record"):
        builder = Toy(features, rows, data_dir=tmp_path / "data", file_format=file_format or "array_record")
        if file_format:
            builder.download_and_prepare(file_format=file_format)
        return builder

    return make


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


@pytest.fixture
def clinics(made) -> Any:
    """Rows 0 to 59 in train, 60 to 89 in test, with a nested key."""
    return made(VISITS, {"train": visits(60), "test": visits(30, first=60)})
