"""Small TFDS data sets, prepared by the tests themselves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tfds_toys import VISITS, Toy, visits


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


@pytest.fixture
def clinics(made) -> Any:
    """Rows 0 to 59 in train, 60 to 89 in test, with a nested key."""
    return made(VISITS, {"train": visits(60), "test": visits(30, first=60)})
