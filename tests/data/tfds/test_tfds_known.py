"""The keys that docs name for TFDS's own data sets exist and can name clients; nothing is downloaded."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import tensorflow_datasets as tfds

import pfljax as pfl
from pfljax.data.tfds import features
from pfljax.errors import PflError

DOCS = Path(__file__).parents[3] / "docs"
LINE = re.compile(
    r'^\| `.*from_tfds\("([^"]+)", client_key="([^"]+)"(.*)\)` \| (yes|needs TensorFlow) \|', re.MULTILINE
)


def rows() -> list[tuple[str, ...]]:
    """(name, key, the other arguments, what opening by name needs) of every row of the table."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(DOCS.rglob("*.md"))]
    return [row for text in texts for row in LINE.findall(text)]


def test_the_table_is_there():
    assert len(rows()) >= 20


@pytest.mark.parametrize(("name", "key", "rest"), [row[:3] for row in rows() if row[3] == "yes"])
def test_keys_and_arrays_exist(name, key, rest, tmp_path):
    known = features.columns(tfds.builder(name, data_dir=tmp_path).info.features)
    features.key_column(known, "client_key", key)
    arrays = re.search(r"arrays=(\{.*?\})", rest)
    assert features.chosen(known, dict(re.findall(r'"(\w+)": "([^"]+)"', arrays[1])) if arrays else None, [key])


@pytest.mark.skipif(find_spec("tensorflow") is not None, reason="tensorflow is here")
@pytest.mark.parametrize(("name", "key"), [row[:2] for row in rows() if row[3] != "yes"])
def test_others_say_that_they_need_tensorflow(name, key, tmp_path):
    with pytest.raises(PflError, match="expected tensorflow, which TFDS needs for its features"):
        pfl.data.from_tfds(name, client_key=key, data_dir=tmp_path)


@pytest.mark.skipif(find_spec("tensorflow") is None, reason="tensorflow is not here")
@pytest.mark.parametrize(("name", "key"), [row[:2] for row in rows() if row[3] != "yes"])
def test_keys_exist_where_tensorflow_is(name, key, tmp_path):
    known = features.columns(tfds.builder(name, data_dir=tmp_path).info.features)
    features.key_column(known, "client_key", key)
