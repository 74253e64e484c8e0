"""`folder`: one file per client, against a plain loop that reads them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfljax.data.importers import classes, folder, table
from pfljax.data.population import About, Population
from tests.support.refusal import refusal

STEADY = settings(deadline=None, derandomize=True, max_examples=15)
KINDS = ("csv", "parquet", "npz")


def write(path: Path, kind: str, columns: dict) -> None:
    path = path.with_name(f"{path.name}.{kind}")
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "npz":
        np.savez(path, **{name: np.asarray(values) for name, values in columns.items()})
    else:
        frame = pd.DataFrame(columns)
        frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)


def written(here: Path, kind: str, clients: dict) -> Path:
    for name, columns in clients.items():
        write(here / name, kind, columns)
    return here


def rows(num: int, begin: int = 0) -> dict:
    return {
        "a": [begin + 0.5 * row for row in range(num)],
        "b": [begin + row for row in range(num)],
        "ill": [("no", "yes", "maybe")[(begin + row) % 3] for row in range(num)],
    }


PEOPLE = {"ward2/cid": rows(4, 7), "ada": rows(5), "ward1/bob": rows(3, 20)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [0, 3, None])
def test_a_folder_gives_what_a_loop_gives(tmp_path, kind, seed):
    made = {}
    for name in sorted(PEOPLE):
        columns = PEOPLE[name]
        made[name] = {
            "x": np.stack([np.float32(columns["a"]), np.float32(columns["b"])], axis=1),
            "y": np.array([["maybe", "no", "yes"].index(word) for word in columns["ill"]], np.int32),
            "b": np.array(columns["b"], np.int32),
        }
    groups = {"ada": "", "ward1/bob": "ward1", "ward2/cid": "ward2"}
    expected = Population.from_clients(made, seed=seed, groups=groups, about=About(num_classes=3))
    here = written(tmp_path / "clinic", kind, PEOPLE)
    (here / ".hidden").mkdir()
    (here / ".hidden" / "note.txt").touch()
    (here / ".DS_Store").touch()
    people = folder(here, features=["a", "b"], label="ill", columns=["b"], seed=seed, groups="folder")
    assert people.ids == ("ada", "ward1/bob", "ward2/cid")
    assert people.checksum() == expected.checksum()
    assert people.about.name == "clinic"
    assert classes(here, "ill") == ("maybe", "no", "yes")
    assert folder(here, label="ill").groups is None


@STEADY
@given(
    st.dictionaries(
        st.text("abcé .-_07", min_size=1, max_size=6).filter(lambda name: name.strip(" .") == name),
        st.lists(st.tuples(st.floats(-1e30, 1e30), st.integers(0, 5), st.integers(-9, 9)), min_size=2, max_size=6),
        min_size=1,
        max_size=4,
    )
)
def test_every_kind_gives_what_one_table_gives(tmp_path_factory, people):
    clients = {
        name: {"f": [row[0] for row in mine], "y": [row[1] for row in mine], "time": [row[2] for row in mine]}
        for name, mine in people.items()
    }
    whole = {key: [value for mine in clients.values() for value in mine[key]] for key in ("f", "y", "time")}
    whole["who"] = [name for name, mine in people.items() for _ in mine]
    for options in ({"seed": 1}, {"time": "time"}):
        expected = table(whole, "who", features=["f"], label="y", **options)
        for kind in KINDS:
            here = written(tmp_path_factory.mktemp(kind), kind, clients)
            assert folder(here, features=["f"], label="y", **options).checksum() == expected.checksum()


def test_arrays_of_npz_files_keep_axes_and_dtype(tmp_path):
    rng = np.random.default_rng(0)
    made = {
        name: {
            "x": rng.integers(0, 256, (num, 4, 3, 2), np.uint8),
            "y": np.arange(num, dtype=np.int16),
            "w": rng.random(num) < 0.5,
        }
        for name, num in (("a", 3), ("b", 5))
    }
    people = folder(written(tmp_path, "npz", made), seed=None)
    for name, array in people.arrays.items():
        np.testing.assert_array_equal(array, np.concatenate([made["a"][name], made["b"][name]]))
        assert array.dtype == made["a"][name].dtype
    assert people.about.num_classes == 0
    assert folder(tmp_path, label="y", columns=["x"]).about.num_classes == 5


def test_csv_files_may_hold_whole_numbers_by_chance(tmp_path):
    for name, values in (("a", "1 2"), ("b", "0.5 1.5"), ("c", "3 4")):
        (tmp_path / f"{name}.csv").write_text("v\n" + "\n".join(values.split()) + "\n")
    np.testing.assert_array_equal(folder(tmp_path, seed=None).arrays["v"], np.float32([1, 2, 0.5, 1.5, 3, 4]))


def test_words_may_have_several_lengths(tmp_path):
    made = {"a": {"y": ["no", "no"]}, "b": {"y": ["maybe", "no"]}}
    people = folder(written(tmp_path, "npz", made), label="y", seed=None)
    np.testing.assert_array_equal(people.arrays["y"], [1, 1, 0, 1])


# ---- refusals ----


def test_folders_that_are_none_are_refused(tmp_path):
    assert "expected a folder of one file per client, got none" in refusal(folder, tmp_path / "none")
    assert "expected one file per client, got an empty folder" in refusal(folder, tmp_path)
    (tmp_path / "a.csv").touch()
    assert "expected a folder of one file per client, got a file" in refusal(folder, tmp_path / "a.csv")
    assert "a.csv: expected a whole csv file" in refusal(folder, tmp_path)
    assert "groups: expected 'folder' or None, got 'ward'" in refusal(folder, tmp_path, groups="ward")


def test_files_of_two_kinds_are_refused(tmp_path):
    write(tmp_path / "ada", "csv", rows(3))
    write(tmp_path / "bob", "parquet", rows(3))
    assert "expected files of one kind, got ada.csv and bob.parquet" in refusal(folder, tmp_path)
    (tmp_path / "bob.parquet").rename(tmp_path / "README.md")
    assert "README.md: expected a client's file, .csv, .parquet, .npz, got another" in refusal(folder, tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_other_columns_are_refused_by_file(tmp_path, kind):
    here = written(tmp_path, kind, {"ada": {"a": [1, 2], "b": [1, 2]}, "bob": {"a": [1, 2], "c": [1, 2]}})
    message = refusal(folder, here, features=["a"])
    assert f"bob.{kind}: expected the columns a, b of ada.{kind}, got a, c" in message
    assert f"ada.{kind}: expected a column 'bb', got a, b, did you mean 'b'?" in refusal(folder, here, label="bb")


@pytest.mark.parametrize(
    ("kind", "mine", "yours", "words"),
    [
        ("csv", ["x", "y"], [1, 2], ["ada.csv", "int64", "got "]),
        ("parquet", ["x", "y"], [1, 2], ["ada.parquet", "int64"]),
        ("parquet", np.float32([1, 2]), np.float64([1, 2]), ["ada.parquet", "expected float32 as", "got float64"]),
        ("npz", np.float32([1, 2]), np.float64([1, 2]), ["ada.npz", "expected float32 as", "got float64;"]),
        ("npz", np.ones((2, 3)), np.ones((2, 4)), ["ada.npz", "expected float64[3]", "got float64[4]"]),
        ("npz", np.ones((2, 3)), np.ones(2), ["ada.npz", "expected float64[3]", "got float64;"]),
        ("npz", ["a", "b"], [1, 2], ["ada.npz", "expected string as", "got int64;"]),
    ],
)
def test_other_dtypes_are_refused_by_file_and_column(tmp_path, kind, mine, yours, words):
    message = refusal(folder, written(tmp_path, kind, {"ada": {"v": mine}, "bob": {"v": yours}}))
    for word in ["bob." + kind + ", column 'v'", *words]:
        assert word in message


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("a", float("nan"), ["expected", "got"]),
        ("a", float("inf"), ["finite numbers, got inf"]),
        ("class", -3, ["expected classes from 0, got -3"]),
        ("ill", "", ["expected a value, got a missing one"]),
    ],
)
def test_a_bad_value_is_refused_by_file_column_and_row_of_the_file(tmp_path, kind, name, value, words):
    people = {name: columns | {"class": columns["b"]} for name, columns in PEOPLE.items()}
    bad = people["ward1/bob"]
    people["ward1/bob"] = bad | {name: [bad[name][0], bad[name][1], value]}
    here = written(tmp_path, kind, people)
    message = refusal(folder, here, features=["a"], label="class" if name == "class" else "ill")
    for word in [f"ward1/bob.{kind}, column {name!r}, row 2, client 'ward1/bob'", *words]:
        assert word in message


@pytest.mark.parametrize("kind", KINDS)
def test_files_without_rows_are_refused(tmp_path, kind):
    here = written(tmp_path, kind, {"ada": rows(3), "bob": rows(0)})
    if kind == "npz":  # an empty list is an array of floats: say what they would be
        np.savez(here / "bob.npz", **{name: np.asarray(values)[:0] for name, values in rows(3).items()})
    message = refusal(folder, here, features=["a"])
    assert "client 'bob': expected at least 2 examples (train and test), got none" in message
    (here / f"ada.{kind}").unlink()
    assert "expected at least one row in its 1 files, got none" in refusal(folder, here, features=["a"])


@pytest.mark.parametrize("kind", ["parquet", "npz"])
def test_a_truncated_file_is_refused_by_name(tmp_path, kind):
    here = written(tmp_path, kind, PEOPLE)
    path = here / "ward1" / f"bob.{kind}"
    path.write_bytes(path.read_bytes()[:-20])
    assert f"bob.{kind}: expected a whole {kind} file" in refusal(folder, here, features=["a"])


def test_objects_are_refused(tmp_path):
    np.savez(tmp_path / "ada.npz", x=np.array([{}, []], object))
    assert "ada.npz, array 'x': expected a whole array, got objects" in refusal(folder, tmp_path)


def test_columns_of_two_lengths_are_refused(tmp_path):
    np.savez(tmp_path / "ada.npz", x=np.ones((3, 2)), y=np.ones(4))
    assert "ada.npz: expected columns of one common length, got {'x': 3, 'y': 4}" in refusal(folder, tmp_path)


def test_names_that_are_no_utf8_are_refused(tmp_path):
    write(tmp_path / "zo\udce9", "csv", rows(3))
    message = refusal(folder, tmp_path)
    assert "expected a name in UTF-8, got other bytes; rename it" in message
    message.encode()
