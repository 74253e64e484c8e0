"""FedJAX's sqlite files, written here in their layout: rows against plain loops, and files that are damaged."""

import sqlite3
import zlib
from contextlib import closing
from pathlib import Path

import msgpack
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pfljax.data.importers import fedjax, ink
from pfljax.errors import PflError
from tests.support.federated import assert_holds, expected, refusal

STEADY = settings(
    deadline=None, derandomize=True, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
COLUMNS = "client_id BLOB NOT NULL PRIMARY KEY, data BLOB NOT NULL, num_examples INTEGER NOT NULL"
sizes = st.dictionaries(st.sampled_from(["0a:f1_2", "é", "b", "zz"]), st.integers(2, 7), min_size=1)
dtypes = st.sampled_from(["float32", "uint8", "int16", "int32", "int64", "bool", "float16"])


def extension(array: np.ndarray) -> msgpack.ExtType:
    """FedJAX's: 1 is [shape, name of the dtype, bytes], 4 is [shape, list of byte strings]."""
    if array.dtype == object:
        return msgpack.ExtType(4, msgpack.packb((array.shape, array.ravel().tolist()), use_bin_type=True))
    return msgpack.ExtType(1, msgpack.packb((array.shape, array.dtype.name, array.tobytes()), use_bin_type=True))


def packed(table: dict) -> bytes:
    made = {name: extension(value) if isinstance(value, np.ndarray) else value for name, value in table.items()}
    return zlib.compress(msgpack.packb(made))


def rows_of(clients: dict[str, dict]) -> list[tuple]:
    return [(client.encode(), packed(table), len(next(iter(table.values())))) for client, table in clients.items()]


def written(path: Path, rows: list[tuple], columns: str = COLUMNS) -> Path:
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as base, base:
        base.execute("PRAGMA page_size = 512")
        base.execute("PRAGMA synchronous = OFF")
        base.execute(f"CREATE TABLE federated_data ({columns})")
        for row in rows:
            base.execute(f"INSERT INTO federated_data VALUES ({', '.join('?' * len(row))})", row)
    return path


def tables(counts: dict[str, int], dtype: str = "float32", seed: int = 0) -> dict[str, dict[str, np.ndarray]]:
    draw = np.random.default_rng(seed)
    return {
        client: {"x": draw.integers(0, 2, (num, 2, 3)).astype(dtype), "y": draw.integers(0, 9, num).astype(np.int32)}
        for client, num in counts.items()
    }


# ---- rows ----


@STEADY
@given(sizes, st.none() | sizes, dtypes, st.none() | st.integers(0, 3))
def test_rows_written_and_read_are_the_same(tmp_path, first, second, dtype, seed):
    train, test = tables(first, dtype), None if second is None else tables(second, dtype, 1)
    other = None if test is None else written(tmp_path / "test.sqlite", rows_of(test))
    population = fedjax(written(tmp_path / "train.sqlite", rows_of(train)), other, seed=seed, incomplete="cut")
    assert_holds(population, expected(train, test, seed=seed))
    labels = [label for side in (train, test or {}) for table in side.values() for label in table["y"].tolist()]
    assert population.about.num_classes == max(labels) + 1


def test_emnist_by_convert(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (5, 28, 28))
    raw = {"pixels": (grey / 255).astype(np.float32), "label": np.array([0, 1, 2, 60, 4])}
    path = written(tmp_path / "emnist.sqlite", rows_of({"a": raw}))
    population = fedjax(path, convert=lambda table: {"x": ink(table["pixels"]), "y": table["label"]}, num_classes=62)
    rows = {"x": (255 - grey).astype(np.uint8), "y": raw["label"].astype(np.int32)}
    assert_holds(population, expected({"a": rows}, None))
    assert (population.about.name, population.about.num_classes) == ("fedjax", 62)
    assert population.about.source == "FedJAX sqlite: emnist.sqlite"


def test_byte_strings_reach_convert(tmp_path):
    words = np.array([b"one two", b"", b"\xc3\xa9\xff"], object)
    path = written(tmp_path / "so.sqlite", rows_of({"a": {"tokens": words, "score": np.arange(3)}}))
    sizes_of = lambda table: {"x": np.array([len(text) for text in table["tokens"]])}
    assert sorted(fedjax(path, convert=sizes_of).arrays["x"].tolist()) == [0, 3, 7]
    assert "expected numbers in 'tokens', got byte strings; encode them, or leave them out" in refusal(fedjax, path)


def test_convert_must_give_a_table(tmp_path):
    path = written(tmp_path / "a.sqlite", rows_of(tables({"a": 3})))
    message = refusal(fedjax, path, convert=lambda table: table["x"])
    assert "client 'a': expected {name: array} from convert, got a ndarray" in message


def test_ids_may_be_text_or_bytes(tmp_path):
    rows = rows_of(tables({"a": 3, "é": 3}))
    rows[1] = ("é", *rows[1][1:])
    assert fedjax(written(tmp_path / "a.sqlite", rows)).ids == ("a", "é")


def test_reading_changes_nothing(tmp_path):
    path = written(tmp_path / "a ? #.sqlite", rows_of(tables({"a": 3})))
    before = path.read_bytes()
    fedjax(path)
    assert path.read_bytes() == before
    assert [other.name for other in tmp_path.iterdir()] == [path.name]


# ---- refusals ----


@STEADY
@given(st.data())
def test_no_prefix_of_a_file_is_read(tmp_path, data):
    path = written(tmp_path / "whole.sqlite", rows_of(tables({"a": 30, "b": 3, "c": 3})))
    content = path.read_bytes()
    path.write_bytes(
        content[: data.draw(st.integers(0, len(content) - 1) | st.integers(len(content) - 600, len(content) - 1))]
    )
    assert refusal(fedjax, path).startswith(str(path))


@STEADY
@given(st.data())
def test_a_damaged_byte_is_no_other_error(tmp_path, data):
    """Where the file is read all the same, the byte is in a client's id or where nobody looks."""
    path = written(tmp_path / "whole.sqlite", rows_of(tables({"a": 3, "b": 3})))
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        num_rows = fedjax(path).num_rows
    except PflError:
        return
    assert num_rows == 6


@STEADY
@given(st.data())
def test_no_prefix_of_a_clients_data_is_read(tmp_path, data):
    (row,) = rows_of(tables({"ada": 4}))
    cut = data.draw(st.integers(0, len(row[1]) - 1))
    path = written(tmp_path / "cut.sqlite", [(row[0], row[1][:cut], 4)])
    assert refusal(fedjax, path).startswith(
        f"{path}, client 'ada': expected zlib-compressed msgpack of arrays, got error"
    )


@STEADY
@given(st.data())
def test_no_prefix_of_the_packed_arrays_is_read(tmp_path, data):
    (row,) = rows_of({"ada": {"x": np.arange(4.0), "s": np.array([b"a"] * 4, object)}})
    inside = zlib.decompress(row[1])
    cut = inside[: data.draw(st.integers(0, len(inside) - 1))]
    path = written(tmp_path / "cut.sqlite", [(row[0], zlib.compress(cut), 4)])
    assert refusal(fedjax, path).startswith(f"{path}, client 'ada': expected zlib-compressed msgpack of arrays")


X, Y = np.ones((4, 2), np.float32), np.arange(4)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "expected zlib-compressed msgpack of arrays"),
        (b"x\x9cnonsense", "expected zlib-compressed msgpack of arrays"),
        ("text", "expected zlib-compressed msgpack of arrays"),
        (3, "expected compressed bytes in data, got a int"),
        (zlib.compress(b"\xc1"), "expected zlib-compressed msgpack of arrays"),
        (zlib.compress(msgpack.packb([1, 2])), "expected zlib-compressed msgpack of arrays"),
        (zlib.compress(msgpack.packb({"x": msgpack.ExtType(1, b"abc")})), "expected zlib-compressed msgpack of arrays"),
        (zlib.compress(msgpack.packb({"x": msgpack.ExtType(1, msgpack.packb(([4], "object", b"a" * 32)))})), "arrays"),
        (packed({"x": [1, 2, 3, 4]}), "expected arrays, got a list for 'x'"),
        (packed({"x": msgpack.ExtType(9, b"abcd")}), "expected arrays, got a ExtType for 'x'"),
        (packed({}), "expected at least one column, got none"),
        (packed({"x": X}), "expected the columns of"),
        (packed({"x": X[:3], "y": Y}), "expected 4 rows in 'x', got shape [3, 2]"),
        (packed({"x": X, "y": Y[:3]}), "expected 4 rows in 'y', got shape [3]"),
        (packed({"x": X.astype("f8"), "y": Y}), "x: float32[2], y: int32[], got x: float64[2]"),
        (packed({"x": X * np.float32("nan"), "y": Y}), "expected finite numbers in 'x', got NaN or infinity"),
        (packed({"x": X, "y": Y - 1}), "expected labels y from 0 to 8, got -1 to 2"),
        (packed({"x": X, "y": Y + 6}), "expected labels y from 0 to 8, got 6 to 9"),
        (packed({"x": X, "y": Y * np.nan}), "expected finite numbers in 'y'"),
        (packed({"x": X, "y": np.array(list("abcd"))}), "expected zlib-compressed msgpack of arrays"),
    ],
)
def test_a_bad_client_is_refused_with_its_file(tmp_path, data, words):
    rows = [(b"ada", packed({"x": X, "y": Y}), 4), (b"bob", data, 4)]
    path = written(tmp_path / "bad.sqlite", rows)
    message = refusal(fedjax, path, num_classes=9)
    assert message.startswith(f"{path}, client 'bob'")
    assert words in message


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ((b"\xff", packed({"x": X}), 4), "client_id of rowid 2: expected text in UTF-8"),
        ((7, packed({"x": X}), 4), "client_id of rowid 2: expected text, got 7, a int"),
        (("ada", packed({"x": X}), 4), "client 'ada': expected every client once, got it twice"),
        ((b"bob", packed({"x": X}), -1), "client 'bob', num_examples: expected a whole number of at least 0, got -1"),
        ((b"bob", packed({"x": X}), "4x"), "client 'bob', num_examples: expected a whole number"),
        ((b"bob", packed({"x": X}), 5), "client 'bob': expected 5 rows in 'x', got shape [4, 2]"),
        ((b"bob", packed({"x": X[:0]}), 0), "client 'bob': expected at least 2 examples (train and test), got none"),
    ],
)
def test_a_bad_row_is_refused(tmp_path, row, words):
    path = written(tmp_path / "bad.sqlite", [(b"ada", packed({"x": X}), 4), row])
    message = refusal(fedjax, path)
    assert message.startswith(str(path))
    assert words in message


def test_other_tables_are_refused(tmp_path):
    path = tmp_path / "other.sqlite"
    assert "expected at least one client in federated_data, got none" in refusal(fedjax, written(path, []))
    message = refusal(fedjax, written(path, [(b"a", 1)], "client_id BLOB, num_examples INTEGER"))
    assert "expected a table federated_data with client_id, data, num_examples, got client_id, num_examples" in message
    with closing(sqlite3.connect(path)) as base, base:
        base.execute("DROP TABLE federated_data")
    assert "num_examples, got none" in refusal(fedjax, path)


@pytest.mark.parametrize("content", [b"", b"no database, but as long as a header of one would be" * 20])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "other.sqlite").write_bytes(content)
    assert refusal(fedjax, tmp_path / "other.sqlite").startswith(str(tmp_path / "other.sqlite"))


def test_what_is_no_file_is_refused(tmp_path):
    assert "expected a sqlite file, got none of that name" in refusal(fedjax, tmp_path / "none.sqlite")
    assert not (tmp_path / "none.sqlite").exists()
    assert "num_classes: expected" in refusal(fedjax, tmp_path, num_classes=1)


def test_a_client_in_one_file_is_refused(tmp_path):
    paths = [written(tmp_path / f"{name}.sqlite", rows_of(tables(dict.fromkeys(name, 3)))) for name in ("ab", "a")]
    assert refusal(fedjax, *paths).startswith(f"{paths[0]} and {paths[1]}, client 'b': expected rows in both files")
