"""`table`: one population from one table, whatever it lies in, against a plain loop over its rows."""

import datetime
import io
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfljax.data.importers import classes, table
from pfljax.data.population import About, Population
from tests.support.refusal import refusal

STEADY = settings(deadline=None, derandomize=True, max_examples=15)
VISITS = {
    "who": ["bob", "ada", "bob", "ada", "ada", "bob"],
    "age": [41, 30, 42, 31, 32, 43],
    "dose": [0.5, 0.25, 1.0, 2.0, 4.0, 8.0],
    "ill": ["yes", "no", "no", "no", "maybe", "yes"],
}


def by_hand(rows: dict, client: list[str], features, label, others, time=None, num_classes=0, **options) -> Population:
    """The same population, row by row."""
    people: dict = {}
    for index in range(len(rows[client[0]])):
        people.setdefault("/".join(str(rows[key][index]) for key in client), []).append(index)
    names = sorted(set(rows[label])) if isinstance(rows[label][0], str) else None
    made = {}
    for name in sorted(people):
        mine = people[name] if time is None else sorted(people[name], key=lambda index: rows[time][index])
        made[name] = {
            "x": np.array([[rows[key][index] for key in features] for index in mine], np.float32),
            "y": np.array([names.index(rows[label][index]) if names else rows[label][index] for index in mine]),
        }
        made[name]["y"] = made[name]["y"].astype(np.float32 if made[name]["y"].dtype.kind == "f" else np.int32)
        for key in others:
            raw = np.array([rows[key][index] for index in mine])
            made[name][key] = raw.astype({"f": np.float32, "i": np.int32, "b": bool}[raw.dtype.kind])
    return Population.from_clients(made, about=About(num_classes=num_classes), **options)


def sources(rows: dict, folder: Path) -> dict:
    """A table in everything that it can lie in."""
    frame, polar = pd.DataFrame(rows), pl.DataFrame(rows)
    frame.to_csv(folder / "pandas.csv", index=False)
    polar.write_csv(folder / "polars.csv")
    frame.to_parquet(folder / "pandas.parquet")
    polar.write_parquet(folder / "polars.parquet")
    made = {"pandas": frame, "polars": polar, "arrow": pa.table(rows), "lists": rows}
    made["arrays"] = {name: np.array(values) for name, values in rows.items()}
    made["indexed"] = frame.set_index(np.arange(len(frame))[::-1])
    return made | {path.name: path for path in folder.iterdir()}


word = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], include_characters="\n"), min_size=1)
odd_word = word | st.sampled_from(["007", "7", "NA", "nan", "null", "true", " ", "a/b", 'a"b', "a,b", "é", "1e5"])
real = st.floats(-1e30, 1e30, allow_nan=False, width=64)


@st.composite
def tables(draw) -> dict:
    """Rows in any order, at least two for each client; times differ."""
    ids = draw(st.lists(odd_word, min_size=1, max_size=4, unique=True))
    who = draw(st.permutations([name for name in ids for _ in range(draw(st.integers(2, 5)))]))
    num = len(who)

    def many(values):
        return draw(st.lists(values, min_size=num, max_size=num))

    return {
        "who": list(who),
        "visit": many(st.integers(0, 2)),
        "when": draw(st.permutations(range(num))),
        "f0": many(real),
        "f1": many(st.integers(-(2**40), 2**40)),
        "class": many(st.integers(0, 9)),
        "word": [f"c{text}" for text in many(odd_word)],
        "target": many(real),
        "flag": many(st.booleans()),
        "count": many(st.integers(-(2**31), 2**31 - 1)),
    }


@STEADY
@given(tables(), st.sampled_from(["class", "word", "target", "flag"]), st.integers(0, 3) | st.none())
def test_every_source_gives_what_a_loop_gives(tmp_path_factory, rows, label, seed):
    found = {"class": max(rows["class"]) + 1, "word": len(set(rows["word"])), "target": 0, "flag": 2}
    expected = by_hand(rows, ["who"], ["f0", "f1"], label, ["count", "flag"], num_classes=found[label], seed=seed)
    for name, source in sources(rows, tmp_path_factory.mktemp("tables")).items():
        options = {"features": ["f0", "f1"], "label": label, "columns": ["count", "flag"], "seed": seed}
        people = table(source, "who", **options)
        assert people.ids == expected.ids, name
        assert people.checksum() == expected.checksum(), name
        if label == "word":
            assert classes(source, "word") == tuple(sorted(set(rows["word"]))), name


@STEADY
@given(tables(), st.randoms(use_true_random=False), st.sampled_from(["number", "date", "float"]))
def test_with_times_the_order_of_rows_means_nothing(rows, random, kind):
    start = datetime.datetime(2020, 1, 1)
    made = {"number": int, "float": lambda when: when / 3, "date": lambda when: start + datetime.timedelta(hours=when)}
    rows["when"] = [made[kind](when) for when in rows["when"]]
    order = random.sample(range(len(rows["who"])), len(rows["who"]))
    mixed = {name: [values[index] for index in order] for name, values in rows.items()}
    expected = by_hand(rows, ["who"], ["f0"], "word", [], "when", len(set(rows["word"])), seed=None)
    for source in (rows, mixed, pd.DataFrame(mixed), pl.DataFrame(mixed)):
        for seed in (0, 5, None):
            people = table(source, "who", features="f0", label="word", time="when", seed=seed)
            assert people.checksum() == expected.checksum()


@pytest.mark.parametrize("seed", [0, None])
def test_rows_of_one_time_stay_as_they_stand(seed):
    rows = {"who": ["a"] * 6, "when": [1, 0, 1, 0, 1, 0], "row": np.arange(6)}
    people = table(rows, "who", time="when", split=(1, 0, 0), seed=seed)
    np.testing.assert_array_equal(people.arrays["row"], [1, 3, 5, 0, 2, 4])


@pytest.mark.parametrize(
    "times",
    [
        ["2020-01-02", "2020-01-01", "2019-12-31"],
        ["2020-01-01T10:00:00", "2020-01-01T09:00:00", "2019-01-01T11:00:00"],
        ["12:30:00", "12:29:59", "01:00:00"],
        ["3", "2", "-1"],
    ],
)
def test_dates_and_times_of_a_csv_file_are_sorted_by(tmp_path, times):
    path = tmp_path / "t.csv"
    path.write_text("who,when,row\n" + "".join(f"a,{time},{row}\n" for row, time in enumerate(times)))
    np.testing.assert_array_equal(table(path, "who", time="when").arrays["row"], [2, 1, 0])


def test_times_with_a_zone_are_sorted_by():
    when = pd.to_datetime(["2020-01-01 10:00+01:00", "2020-01-01 09:30+00:00", "2020-01-01 01:00-09:00"], utc=True)
    rows = pd.DataFrame({"who": "a", "when": when.tz_convert("Europe/Berlin"), "row": range(3)})
    for source in (rows, pl.from_pandas(rows)):
        np.testing.assert_array_equal(table(source, "who", time="when").arrays["row"], [0, 1, 2])
    spans = pd.DataFrame({"who": "a", "when": pd.to_timedelta([3, 1, 2], "h"), "row": range(3)})
    np.testing.assert_array_equal(table(spans, "who", time="when").arrays["row"], [1, 2, 0])


# ---- clients, groups, columns ----


@STEADY
@given(tables())
def test_several_columns_make_a_client(tmp_path_factory, rows):
    rows = {name: [*values, *values[::-1]] for name, values in rows.items()}  # two rows at least for every pair
    expected = by_hand(rows, ["who", "visit"], ["f0"], "class", [], num_classes=max(rows["class"]) + 1)
    for source in sources(rows, tmp_path_factory.mktemp("tables")).values():
        people = table(source, ["who", "visit"], features=["f0"], label="class", group="who")
        assert people.ids == tuple(sorted(expected.ids, key=lambda name: name.rpartition("/")[::2]))
        for name, group in zip(people.ids, people.groups or (), strict=True):
            assert name in (f"{group}/0", f"{group}/1", f"{group}/2")
            for split in ("train", "validation", "test"):
                for key, values in expected.client(name, split).items():
                    np.testing.assert_array_equal(people.client(name, split)[key], values)


def test_two_clients_that_would_share_an_id_are_refused():
    rows = {"a": ["x/y", "x/y", "x", "x"], "b": ["z", "z", "y/z", "y/z"], "v": range(4)}
    assert "ids: expected every client once, got 'x/y/z' 2 times" in refusal(table, rows, ["a", "b"])


def test_ids_of_a_csv_file_are_text(tmp_path):
    (tmp_path / "t.csv").write_text("who,v\n007,1\n7,2\n007,3\n7,4\n")
    assert table(tmp_path / "t.csv", "who").ids == ("007", "7")


def test_a_group_can_be_a_feature_too(tmp_path):
    (tmp_path / "t.csv").write_text("who,site,v\na,03,1\na,03,2\nb,3,3\nb,3,4\n")
    people = table(tmp_path / "t.csv", "who", features=["site", "v"], group="site", seed=None)
    assert people.groups == ("03", "3")
    np.testing.assert_array_equal(people.arrays["x"], [[3, 1], [3, 2], [3, 3], [3, 4]])


def test_a_client_of_two_groups_is_refused():
    message = refusal(table, VISITS | {"site": list("NSNSNN")}, "who", group="site", label="ill")
    assert "table, column 'site', row 4, client 'ada': expected the client's group 'S', got 'N'" in message


def test_categories_are_what_they_stand_for():
    frame = pd.DataFrame(VISITS).astype({"who": "category", "ill": "category"})
    polar = pl.DataFrame(VISITS).with_columns(pl.col("who", "ill").cast(pl.Categorical))
    expected = table(VISITS, "who", label="ill").checksum()
    assert table(frame, "who", label="ill").checksum() == expected
    assert table(polar, "who", label="ill").checksum() == expected
    assert classes(frame, "ill") == classes(polar, "ill") == ("maybe", "no", "yes")


def test_all_columns_are_taken_where_none_are_named():
    rows = {name: values for name, values in VISITS.items() if name != "ill"}
    people = table(rows, "who")
    assert {name: array.dtype.name for name, array in people.arrays.items()} == {"age": "int32", "dose": "float32"}
    assert set(table(rows, "who", time="age").arrays) == {"dose"}
    assert set(table(rows, "who", columns={"x": "age"}).arrays) == {"x"}


def test_narrow_dtypes_and_further_axes_stay(tmp_path):
    pixels = np.arange(6 * 28 * 28, dtype=np.uint8).reshape(6, 28, 28)
    np.savez(tmp_path / "t.npz", who=np.array(VISITS["who"]), pixels=pixels, half=np.arange(6, dtype=np.float16))
    people = table(tmp_path / "t.npz", "who", columns={"x": "pixels", "half": "half"}, seed=None)
    np.testing.assert_array_equal(people.arrays["x"], pixels[[1, 3, 4, 0, 2, 5]])
    assert (people.arrays["x"].dtype, people.arrays["half"].dtype) == (np.uint8, np.float16)


def test_lists_of_one_length_are_stacked():
    nested = [[[row, 1], [2, 3], [4, 5]] for row in range(6)]
    for source in (
        pl.DataFrame({"who": VISITS["who"], "m": nested}),
        pl.DataFrame({"who": VISITS["who"], "m": pl.Series(nested, dtype=pl.Array(pl.Int64, (3, 2)))}),
        pd.DataFrame({"who": VISITS["who"], "m": nested}),
        pa.table({"who": VISITS["who"], "m": nested}),
        pa.concat_tables([pa.table({"who": [who], "m": [m]}) for who, m in zip(VISITS["who"], nested, strict=True)]),
    ):
        people = table(source, "who", seed=None)
        np.testing.assert_array_equal(people.arrays["m"], np.array(nested)[[1, 3, 4, 0, 2, 5]])
        assert people.arrays["m"].dtype == np.int32


def test_whole_numbers_that_end_with_a_fraction_far_down_are_floats(tmp_path):
    """A csv file's types are told by the whole file."""
    num = 300_000
    (tmp_path / "t.csv").write_text("who,v\n" + "a,1\n" * num + "a,0.5\n")
    assert (tmp_path / "t.csv").stat().st_size > 2**20
    values = table(tmp_path / "t.csv", "who", seed=None).arrays["v"]
    assert (values.dtype, values.sum()) == (np.float32, num + 0.5)


def test_a_row_of_a_csv_file_may_be_long(tmp_path):
    note = '"several\nlines"' + "x" * 2**21
    (tmp_path / "t.csv").write_text(f"who,note,v\na,{note},1\na,{note},2\n")
    np.testing.assert_array_equal(table(tmp_path / "t.csv", "who", columns=["v"], seed=None).arrays["v"], [1, 2])


def test_booleans_are_two_classes_even_where_one_occurs():
    assert table({"who": ["a", "a"], "ill": [False, False]}, "who", label="ill").about.num_classes == 2


def test_stated_classes_are_kept_or_refused():
    assert table(VISITS, "who", label="ill", about=About(num_classes=5)).about.num_classes == 5
    message = refusal(table, VISITS, "who", label="ill", about=About(num_classes=2))
    assert "column 'ill', row 0, client 'bob': expected about.num_classes=2 classes, got at least 3" in message


def test_a_population_is_called_after_its_file(tmp_path):
    pd.DataFrame(VISITS).to_csv(tmp_path / "ehr.csv")
    assert table(tmp_path / "ehr.csv", "who", label="ill").about.name == "ehr"
    assert table(tmp_path / "ehr.csv", "who", label="ill", about=About(name="mine")).about.name == "mine"


# ---- refusals ----


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"client": "whom"}, ["table: expected a column 'whom', got who, age, dose, ill, did you mean 'who'?"]),
        ({"client": ["who", "site"]}, ["expected a column 'site'"]),
        ({"client": []}, ["client: expected a column or several, got none"]),
        ({"features": ["agee"]}, ["expected a column 'agee'", "did you mean 'age'?"]),
        ({"label": "sick"}, ["expected a column 'sick'"]),
        ({"columns": ["doses"]}, ["expected a column 'doses'", "did you mean 'dose'?"]),
        ({"time": "aged"}, ["expected a column 'aged'", "did you mean 'age'?"]),
        ({"group": "ward"}, ["expected a column 'ward'"]),
        ({"features": ["ill"]}, ["table, column 'ill', row 0, client 'bob': expected a number, got 'yes'"]),
        ({"columns": ["ill"]}, ["column 'ill', row 0, client 'bob': expected a number, got 'yes'"]),
        (
            {"label": "ill", "time": "ill"},
            ["column 'ill', row 0, client 'bob': expected a number or a date, got 'yes'"],
        ),
        ({"client": "dose", "label": "ill"}, ["column 'dose', row 0: expected text or whole numbers, got double"]),
        ({"features": ["age"], "columns": {"x": "dose"}}, ["columns: expected none called 'x'"]),
        ({"label": "ill", "columns": {"y": "dose"}}, ["columns: expected none called 'y'"]),
        ({"columns": []}, ["table: expected columns with features, labels or others, got who, age"]),
        ({"label": "ill", "split": (0.5, 0.5)}, ["split: expected three shares"]),
        ({"label": "ill", "seed": -1}, ["seed: expected a whole number"]),
        ({"label": "ill", "time": "age", "seed": -1}, ["seed: expected a whole number"]),
    ],
)
def test_what_a_table_has_not_is_refused_by_name(options, words):
    message = refusal(table, VISITS, **({"client": "who"} | options))
    for part in words:
        assert part in message


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("age", None, "a value, got a missing one; impute it"),
        ("dose", None, "a value, got a missing one"),
        ("dose", float("nan"), "a value, got a missing one"),
        ("dose", float("inf"), "finite numbers, got inf"),
        ("dose", 1e300, "numbers that a float32 holds, got 1e+300; rescale"),
        ("ill", None, "a value, got a missing one"),
        ("when", None, "a value, got a missing one"),
        ("class", None, "a value, got a missing one"),
        ("class", -1, "classes from 0, got -1"),
        ("class", 2**40, f"whole numbers that an int32 holds, got {2**40}"),
        ("target", float("nan"), "a value, got a missing one"),
        ("target", float("-inf"), "finite numbers, got -inf"),
    ],
)
def test_a_bad_value_is_refused_by_column_row_and_client(tmp_path, name, value, words):
    label = name if name in ("ill", "class", "target") else "ill"
    rows = VISITS | {"class": [0, 1, 2, 1, 1, 0], "target": [0.5] * 6, "when": [3.0, 1.0, 2.0, 4.0, 5.0, 6.0]}
    rows |= {name: [*rows[name][:3], value, *rows[name][4:]]}
    for origin, source in sources_with_gaps(rows, tmp_path).items():
        message = refusal(table, source, "who", features=["age", "dose"], label=label, time="when")
        assert f"column {name!r}, row 3, client 'ada': expected {words}" in message, origin
        assert message.startswith(origin if "." in origin else "table"), origin


def sources_with_gaps(rows: dict, folder: Path) -> dict:
    made = sources({name: values for name, values in rows.items() if None not in values}, folder)
    gaps = {name: values for name, values in rows.items() if None in values}
    if not gaps:
        return made
    frame = pd.DataFrame(rows)
    frame.to_csv(folder / "pandas.csv", index=False)
    frame.to_parquet(folder / "pandas.parquet")
    return {
        "pandas": frame,
        "nullable": frame.convert_dtypes(),
        "polars": pl.DataFrame(rows),
        "lists": rows,
        "pandas.csv": folder / "pandas.csv",
        "pandas.parquet": folder / "pandas.parquet",
    }


@pytest.mark.parametrize("gap", [None, ""])
def test_a_missing_id_is_refused_by_row(tmp_path, gap):
    rows = VISITS | {"who": ["bob", "ada", "bob", gap, "ada", "bob"]}
    for source in (rows, pd.DataFrame(rows), pl.DataFrame(rows)):
        message = refusal(table, source, "who", label="ill")
        assert "table, column 'who', row 3: expected a value, got a missing one" in message
    pd.DataFrame(rows).to_csv(tmp_path / "t.csv")
    assert "t.csv, column 'who', row 3: expected a value" in refusal(table, tmp_path / "t.csv", "who", label="ill")
    message = refusal(table, VISITS | {"site": rows["who"]}, "who", label="ill", group="site")
    assert "column 'site', row 3, client 'ada': expected a value, got a missing one" in message


def test_a_client_with_too_few_rows_is_refused_by_id():
    rows = {"who": ["bob", "ada", "bob"], "v": [1, 2, 3]}
    assert "client 'ada': expected at least 2 examples (train and test), got 1" in refusal(table, rows, "who")


def test_ragged_lists_are_refused_by_row():
    ragged = [[[1, 2], [3, 4]]] * 3 + [[[1, 2], [3]]] + [[[1, 2], [3, 4]]] * 2
    for source in (pa.table({"who": VISITS["who"], "m": ragged}), pl.DataFrame({"who": VISITS["who"], "m": ragged})):
        message = refusal(table, source, "who")
        assert "column 'm', row 3, client 'ada': expected 2 values as before it, got 1; pad" in message
    gap = pa.table({"who": VISITS["who"], "m": [[1, 2], [1, 2], [1, 2], [1, None], [1, 2], [1, 2]]})
    assert "column 'm', row 3, client 'ada': expected a value, got a missing one" in refusal(table, gap, "who")
    message = refusal(table, {"who": ["a", "a"], "m": [[1, 2], [1]]}, "who")
    assert "column 'm': expected rectangular arrays, got ragged ones" in message


@pytest.mark.parametrize("columns", [{"features": ["m"]}, {"label": "m"}, {"columns": ["v"], "time": "m"}])
def test_more_than_one_number_is_no_feature_label_or_time(columns):
    rows = {"who": ["a", "a"], "m": np.ones((2, 3)), "v": [1, 2]}
    for source in (rows, pl.DataFrame(rows | {"m": [[1, 2, 3]] * 2})):
        message = refusal(table, source, "who", **columns)
        assert "column 'm', row 0, client 'a': expected one number a row, got shape [3]" in message
    assert "column 'm', row 0: expected one word or number a row, got shape [3]" in refusal(table, rows, "m")


@pytest.mark.parametrize("values", [["a", 1], [object(), object()], [2**70, 1]])
def test_values_of_two_types_are_refused_by_column(values):
    for source in ({"who": ["a", "a"], "v": np.array(values, object)}, pd.DataFrame({"who": "a", "v": values})):
        assert "table, column 'v': expected values of one type, got " in refusal(table, source, "who")


@pytest.mark.parametrize("dtype", ["datetime64[s]", "complex64", "U3", "S3"])
def test_what_is_no_number_is_refused_by_column(dtype):
    shaped = np.zeros((6, 2), dtype)
    message = refusal(table, {"who": VISITS["who"], "v": shaped}, "who")
    assert f"column 'v', row 0, client 'bob': expected numbers or booleans, got dtype {shaped.dtype}" in message
    assert "column 'v'" in refusal(table, {"who": VISITS["who"], "v": shaped[:, 0]}, "who")


def test_ids_that_are_no_utf8_are_refused(tmp_path):
    rows = VISITS | {"who": [name.encode() for name in VISITS["who"]]}
    assert table(rows, "who", label="ill").ids == ("ada", "bob")
    rows["who"][1] = "zoé".encode("latin-1")
    message = refusal(table, rows, "who", label="ill")
    assert "table, column 'who', row 0: expected a column of text in UTF-8, got other bytes" in message
    (tmp_path / "t.csv").write_bytes("who,v\nzoé,1\nzoé,2\n".encode("latin-1"))
    message = refusal(table, tmp_path / "t.csv", "who")
    assert "t.csv: expected a whole csv file in UTF-8, got " in message


@pytest.mark.parametrize(
    "empty", [{"who": [], "v": []}, pd.DataFrame({"who": [], "v": []}), pl.DataFrame({"who": [], "v": []})]
)
def test_an_empty_table_is_refused(tmp_path, empty):
    assert "table: expected at least one row, got none" in refusal(table, empty, "who")
    (tmp_path / "t.csv").write_text("who,v\n")
    assert "t.csv: expected at least one row, got none" in refusal(table, tmp_path / "t.csv", "who")
    (tmp_path / "t.csv").write_text("")
    assert "t.csv: expected a whole csv file" in refusal(table, tmp_path / "t.csv", "who")


def damaged(path: Path, end: int | None = None, begin: int = 0) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[begin:end])
    return path


@pytest.mark.parametrize("end", [0, 3, 40, -1, -9, -60])
@pytest.mark.parametrize("kind", ["parquet", "npz"])
def test_a_truncated_file_is_refused_by_name(tmp_path, kind, end):
    path = tmp_path / f"t.{kind}"
    if kind == "npz":
        np.savez(path, who=np.array(VISITS["who"]), v=np.arange(6))
    else:
        pd.DataFrame(VISITS).to_parquet(path)
    message = refusal(table, damaged(path, end), "who", label="ill" if kind == "parquet" else None)
    assert f"t.{kind}: expected a whole {kind} file" in message


def test_a_file_damaged_inside_is_refused_by_name(tmp_path):
    rng = np.random.default_rng(0)
    np.savez_compressed(tmp_path / "t.npz", who=np.repeat(np.array(["ada", "bob"]), 500), v=rng.random(1000))
    content = bytearray((tmp_path / "t.npz").read_bytes())
    content[4000:4010] = bytes(10)
    (tmp_path / "t.npz").write_bytes(content)
    assert "t.npz, array 'v': expected a whole array, got " in refusal(table, tmp_path / "t.npz", "who")


def test_a_csv_row_that_is_cut_off_is_refused(tmp_path):
    path = tmp_path / "t.csv"
    pd.DataFrame(VISITS).to_csv(path, index=False)
    message = refusal(table, damaged(path, -len("43,8.0,yes\n")), "who", label="ill")
    assert "t.csv: expected a whole csv file" in message
    assert "Expected 4 columns, got 2" in message


def test_objects_in_an_npz_file_are_refused(tmp_path):
    np.savez(tmp_path / "t.npz", who=np.array(["a", "a"]), v=np.array([{"a": 1}, None], object))
    message = refusal(table, tmp_path / "t.npz", "who")
    assert "t.npz, array 'v': expected a whole array, got objects; save numbers" in message
    buffer = io.BytesIO()
    np.save(buffer, np.arange(3))
    (tmp_path / "t.npz").write_bytes(buffer.getvalue())
    assert "t.npz: expected an npz archive of named arrays" in refusal(table, tmp_path / "t.npz", "who")


@pytest.mark.parametrize("source", [3, None, [1, 2], pl.LazyFrame({"who": ["a"]})])
def test_what_is_no_source_is_refused(source):
    assert "source: expected a path, a pandas or polars DataFrame or {name: array}, got" in refusal(
        table, source, "who"
    )


def test_paths_that_are_no_table_are_refused(tmp_path):
    assert "expected a file, got nothing there" in refusal(table, tmp_path / "none.csv", "who")
    (tmp_path / "d.parquet").mkdir()
    assert "expected a file, got a folder" in refusal(table, tmp_path / "d.parquet", "who")
    (tmp_path / "t.xlsx").touch()
    assert "t.xlsx: expected a file that ends in .csv, .parquet, .npz, got .xlsx" in refusal(
        table, tmp_path / "t.xlsx", "who"
    )


def test_columns_twice_or_without_a_name_are_refused(tmp_path):
    (tmp_path / "t.csv").write_text("who,v,v\na,1,2\na,1,2\n")
    assert "t.csv: expected every column once, got 'v' 2 times" in refusal(table, tmp_path / "t.csv", "who")
    frame = pd.DataFrame([["a", 1, 2]], columns=["who", "v", "v"])
    assert "table: expected every column once, got 'v' 2 times" in refusal(table, frame, "who")
    assert "table: expected columns named by text, got the name 0" in refusal(table, pd.DataFrame({0: [1]}), "who")


def test_columns_of_two_lengths_are_refused():
    message = refusal(table, {"who": ["a", "a", "a"], "v": [1, 2]}, "who")
    assert "table: expected columns of one common length, got {'who': 3, 'v': 2}" in message
    assert "column 'v': expected an array [row, ...], got the single value" in refusal(
        table, {"who": ["a"], "v": 1}, "who"
    )


def test_only_text_has_names_of_classes():
    assert "column 'age': expected text, got int64" in refusal(classes, VISITS, "age")
    assert "expected a column 'il', got" in refusal(classes, VISITS, "il")
