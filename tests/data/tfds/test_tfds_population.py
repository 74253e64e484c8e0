"""`from_tfds`: whose rows, in which order, cut how; dtypes; what is refused."""

import re
import shutil
import sys
from collections import defaultdict
from importlib.util import find_spec

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tfds_toys import VISITS, visits

import pfljax as pfl
from pfljax.data.partition.basis import fingerprint
from pfljax.data.partition.record import Partition, by_owner
from pfljax.data.tfds import features, source
from pfljax.errors import PflError

ALL = {split: split for split in ("train", "validation", "test")}
KEY = "visit/clinic"


def rows_of(builder, split: str, parse=lambda text: text) -> dict[str, list[int]]:
    """{client: its rows' numbers}, by a plain loop over the examples."""
    clients = defaultdict(list)
    for example in builder.as_data_source(split):
        clients[parse(example["visit"]["clinic"].decode())].append(example["visit"]["day"])
    return dict(clients)


def days(population, split: str) -> dict[str, list[int]]:
    return {client: population.client(client, split)["visit/day"].tolist() for client in population.ids}


def refusal(*arguments, **options) -> str:
    with pytest.raises(PflError) as error:
        pfl.data.from_tfds(*arguments, **options)
    message = str(error.value)
    assert re.search(r"expected .+(got|holds|has|is) .+", message, re.DOTALL), message
    return message


# ---- what comes out ----


def test_nested_keys_name_clients_in_order_of_appearance(clinics):
    population = pfl.data.from_tfds(clinics, client_key=KEY, shares=(1.0, 0.0, 0.0))
    expected = rows_of(clinics, "train")
    assert population.ids == tuple(expected)
    assert days(population, "train") == expected
    np.testing.assert_array_equal(population.arrays["pixels"][:, 1, 2], population.arrays["visit/day"])
    assert set(population.arrays) == {"visit/day", "pixels", "temperature", "kind"}
    assert population.about == pfl.data.About("toy", source="TFDS toy/1.2.0", licence="CC0")


def test_parse_merges_keys_and_keeps_the_order_of_rows(clinics):
    parse = lambda text: text.split("_")[0]
    population = pfl.data.from_tfds(clinics, client_key=KEY, parse=parse, shares=(1.0, 0.0, 0.0))
    assert days(population, "train") == rows_of(clinics, "train", parse)
    assert sorted(population.ids) == ["0", "1", "2", "3"]


def test_dtypes_are_those_of_the_features(clinics):
    population = pfl.data.from_tfds(clinics, client_key=KEY)
    kinds = {name: (array.dtype, array.shape[1:]) for name, array in population.arrays.items()}
    row = population.arrays["visit/day"]
    np.testing.assert_array_equal(population.arrays["temperature"], row + 0.5)
    assert kinds == {
        "visit/day": (np.int64, ()),
        "pixels": (np.int16, (2, 3)),
        "temperature": (np.float32, ()),
        "kind": (np.int64, ()),
    }


def test_int32_stays_int32_and_is_a_key_too(made):
    builder = made({"who": np.int32, "x": np.int32}, {"train": [{"who": 7 - r % 2, "x": r} for r in range(8)]})
    population = pfl.data.from_tfds(builder, client_key="who")
    assert population.arrays["x"].dtype == np.int32
    assert population.arrays["x"].tolist() == [0, 2, 4, 6, 1, 3, 5, 7]
    assert population.ids == ("7", "6")


def test_chosen_arrays_and_classes(clinics):
    population = pfl.data.from_tfds(clinics, client_key="kind", arrays={"x": "pixels", "y": "kind"})
    assert list(population.arrays) == ["x", "y"]
    assert population.about.num_classes == 3
    assert sorted(population.ids) == ["cat", "dog", "owl"]
    for label, client in enumerate(("cat", "dog", "owl")):
        assert set(population.client(client)["y"].tolist()) == {label}


def test_shares_cut_rows_in_order_and_a_seed_shuffles_first(clinics):
    whole = pfl.data.from_tfds(clinics, client_key="kind", shares=(1.0, 0.0, 0.0))
    cut = pfl.data.from_tfds(clinics, client_key="kind", shares=(0.5, 0.25, 0.25))
    for client in cut.ids:
        parts = [days(cut, split)[client] for split in ALL]
        assert [*parts[0], *parts[1], *parts[2]] == days(whole, "train")[client]
        assert abs(len(parts[0]) - sum(map(len, parts)) / 2) <= 1
    shuffled = pfl.data.from_tfds(clinics, client_key="kind", shares=(0.5, 0.25, 0.25), seed=3)
    by_hand = pfl.data.Population.from_flat(whole.arrays, whole.offsets, whole.ids, (0.5, 0.25, 0.25), 3)
    assert shuffled.checksum() == by_hand.checksum() != cut.checksum()


def test_splits_are_taken_as_they_are(clinics):
    population = pfl.data.from_tfds(clinics, {"test": "test", "train": "train"}, client_key="kind")
    names = {name: index for index, name in enumerate(("cat", "dog", "owl"))}
    for split in ("train", "test"):
        mine = pfl.data.from_tfds(clinics, split, client_key="kind", shares=(1.0, 0.0, 0.0))
        assert days(population, split) == {client: days(mine, "train")[client] for client in population.ids}
    assert population.sizes("validation").tolist() == [0] * len(names)


def test_slices_are_read(clinics):
    population = pfl.data.from_tfds(clinics, "train[:10]+test[-5:]", client_key="kind", shares=(1.0, 0.0, 0.0))
    assert sorted(population.arrays["visit/day"].tolist()) == [*range(10), *range(85, 90)]


def test_small_clients_are_left_out(clinics):
    expected = {client: rows for client, rows in rows_of(clinics, "train").items() if len(rows) >= 8}
    population = pfl.data.from_tfds(clinics, client_key=KEY, shares=(1.0, 0.0, 0.0), min_rows=8)
    assert 0 < len(expected) < 8
    assert days(population, "train") == expected
    assert "expected at most" in refusal(clinics, client_key=KEY, min_rows=61)


def test_images_are_decoded_with_pillow(made):
    """Written by TFDS as PNG it would take TensorFlow, so the file's bytes are made with pillow."""
    import io

    from PIL import Image

    def png(level: int) -> io.BytesIO:
        file = io.BytesIO()
        Image.fromarray(np.full((4, 5), level, np.uint8)).save(file, "png")
        file.seek(0)
        return file

    shape = {"image": tfds.features.Image(shape=(4, 5, 1)), "who": tfds.features.Text()}
    builder = made(shape, {"train": [{"image": png(9 * r), "who": "ab"[r % 2]} for r in range(6)]})
    population = pfl.data.from_tfds(builder, client_key="who", arrays={"x": "image"}, shares=(1.0, 0.0, 0.0))
    assert population.arrays["x"].shape == (6, 4, 5, 1)
    assert population.arrays["x"].dtype == np.uint8
    assert population.arrays["x"][:, 3, 4, 0].tolist() == [0, 18, 36, 9, 27, 45]


def test_chunks_of_any_size_give_the_same(clinics, tmp_path, monkeypatch):
    whole = pfl.data.from_tfds(clinics, "train+test", client_key=KEY)
    for most in (1, 7, 60):
        monkeypatch.setattr(source, "MOST_ROWS", most)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"by-{most}"))
        assert pfl.data.from_tfds(clinics, "train+test", client_key=KEY).checksum() == whole.checksum()


def robin(rows: np.ndarray | int, num_clients: int) -> Partition:
    """Row r belongs to client r modulo their number, or to that of its label."""
    owner = np.asarray(rows) if np.ndim(rows) else np.arange(rows) % num_clients
    return by_owner(owner, [f"c{i}" for i in range(num_clients)], fingerprint(rows), "robin", {}, None)


def test_a_partition_deals_rows_in_the_order_of_the_files(clinics):
    dealt = pfl.data.from_tfds(clinics, "train+test", partition=robin(90, 7), shares=(1.0, 0.0, 0.0))
    assert days(dealt, "train") == {f"c{i}": list(range(i, 90, 7)) for i in range(7)}
    assert dealt.about.partition == robin(90, 7).sha256()
    assert dealt.about.source == "TFDS toy/1.2.0"


def test_a_partitioner_is_given_the_labels(clinics):
    arrays = {"x": "pixels", "y": "kind"}
    by_label = pfl.data.from_tfds(clinics, partition=lambda y: robin(y, 3), arrays=arrays, seed=4)
    for label in range(3):
        assert set(by_label.client(f"c{label}")["y"].tolist()) == {label}
    assert by_label.about.num_classes == 3
    stacked = {"x": by_label.arrays["x"], "y": by_label.arrays["y"]}
    by_hand = robin(stacked["y"], 3).apply(stacked, seed=None)
    assert by_hand.sizes("test").tolist() == by_label.sizes("test").tolist()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"partition": lambda y: robin(y, 3)}, ["partition: expected an array 'y'", "arrays={'y': ...}"]),
        ({"partition": len, "arrays": {"y": "kind"}}, ["expected its result to be a Partition, got a int"]),
        ({"partition": "iid"}, ["a Partition or a function from labels to one, got 'iid'"]),
        ({"partition": robin(90, 7), "group_key": "kind"}, ["beside a client_key only, got a partition"]),
        ({"partition": robin(90, 7), "split": {"train": "train", "test": "test"}}, ["'train+test'"]),
    ],
)
def test_wrong_partitions_say_what_was_expected(clinics, options, words):
    message = refusal(clinics, **options)
    for word in words:
        assert word in message


def test_a_partition_of_other_rows_is_refused(clinics):
    with pytest.raises(PflError):
        pfl.data.from_tfds(clinics, "train", partition=robin(90, 7))


# ---- what is refused ----


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, ["expected one of them to say whose a row is, got none"]),
        ({"client_key": KEY, "partition": len}, ["got both"]),
        ({"partition": len, "parse": str}, ["beside a client_key"]),
        ({"client_key": "visit/clinc"}, ["visit/day", "did you mean 'visit/clinic'"]),
        (
            {"client_key": "temperature"},
            ["Text, ClassLabel or whole number", "'temperature' holds float32 in shape []"],
        ),
        ({"client_key": "pixels"}, ["'pixels' holds int16 in shape [2, 3]"]),
        ({"client_key": "beats"}, ["'beats' holds int32 in shape [None]"]),
        ({"client_key": KEY, "group_key": "temperature"}, ["group_key", "float32"]),
        ({"client_key": KEY, "group_key": "kind"}, ["one group_key in all its rows"]),
        ({"client_key": KEY, "parse": lambda text: 3}, ["parse", "got 3"]),
        ({"client_key": KEY, "parse": lambda text: ""}, ["parse", "got ''"]),
        ({"client_key": KEY, "parse": lambda text: text[9]}, ["parse", "IndexError"]),
        ({"client_key": KEY, "arrays": {"x": "pixls"}}, ["arrays['x']", "did you mean 'pixels'"]),
        ({"client_key": KEY, "arrays": {"x": "note"}}, ["holds text, which can only name clients"]),
        ({"client_key": KEY, "arrays": {"x": "beats"}}, ["has the shape [None]; resize or pad it"]),
        ({"client_key": KEY, "arrays": {}}, ["such as {'x': 'image'}"]),
        ({"client_key": KEY, "split": "tets"}, ["train, test", "did you mean 'test'"]),
        ({"client_key": KEY, "split": "train[:0]"}, ["at least one row, got none in 'train[:0]'"]),
        ({"client_key": KEY, "split": "train+train[:5]"}, ["every row once"]),
        ({"client_key": KEY, "split": {"train": "train[:40]", "test": "train[39:]"}}, ["'train[:40]'", "'train[39:]'"]),
        ({"client_key": KEY, "split": {"test": "test"}}, ["a 'train' among its keys"]),
        ({"client_key": KEY, "split": {"train": "train", "tset": "test"}}, ["did you mean 'test'"]),
        ({"client_key": KEY, "split": {"train": "train", "test": "test"}, "seed": 0}, ["'train+test'"]),
        ({"client_key": "visit/day", "split": {"train": "train", "test": "test"}}, ["client '60'", "'train+test'"]),
        ({"client_key": "visit/day"}, ["client '0'", "at least 2 rows", "min_rows=2 leaves it out"]),
        ({"client_key": KEY, "min_rows": 0}, ["min_rows"]),
        ({"client_key": KEY, "shares": (1, 1, 1)}, ["split"]),
        ({"client_key": KEY, "split": 3}, ["split"]),
    ],
)
def test_wrong_requests_say_what_was_expected(clinics, options, words):
    message = refusal(clinics, **options)
    for word in words:
        assert word in message


def test_nothing_but_text_makes_no_arrays(made):
    builder = made({"who": tfds.features.Text(), "said": tfds.features.Text()}, {"train": [{"who": "a", "said": "b"}]})
    assert "said holds text" in refusal(builder, client_key="who")


def test_ids_that_are_not_utf8_are_refused(made):
    builder = made({"who": tfds.features.Text(), "x": np.int32}, {"train": [{"who": b"caf\xe9", "x": 1}] * 3})
    assert "UTF-8 text in 'who', got b'caf\\xe9'" in refusal(builder, client_key="who")


def test_labels_outside_their_classes_are_refused(made):
    label = tfds.features.ClassLabel(num_classes=2)
    rows = [{"who": "a", "x": 1, "y": value} for value in (0, 1, -1)]
    builder = made({"who": tfds.features.Text(), "x": np.int32, "y": label}, {"train": rows})
    assert "classes from 0 to 1 in 'y', got -1 in row 2" in refusal(builder, client_key="who")
    assert "classes from 0 to 1 in 'y', got -1" in refusal(builder, client_key="y")


def test_nan_is_refused_by_client_and_row(made):
    rows = [{"who": "ab"[r % 2], "x": np.nan if r == 5 else 1.0} for r in range(8)]
    builder = made({"who": tfds.features.Text(), "x": np.float32}, {"train": rows})
    assert "client 'b': expected finite numbers in 'x', got NaN or infinity in its row 2" in refusal(
        builder, client_key="who"
    )


def test_an_empty_split_is_refused(made, monkeypatch):
    """TFDS 4.9.10 cannot write one; another version's is made by hand."""
    builder = made({"who": tfds.features.Text(), "x": np.int32}, {"train": [{"who": "a", "x": 1}] * 3})
    monkeypatch.setattr(type(builder.info.splits["train"]), "num_examples", property(lambda _: 0))
    assert "split of toy: expected at least one row, got none in 'train'" in refusal(builder, client_key="who")


# ---- files ----


def test_a_builder_that_is_not_prepared(made):
    builder = made({"who": tfds.features.Text(), "x": np.int32}, {"train": []}, file_format=None)
    assert "download_and_prepare(file_format='array_record')" in refusal(builder, client_key="who")


def test_images_say_that_writing_them_takes_tensorflow(tmp_path):
    message = refusal("mnist", client_key="label", data_dir=tmp_path)
    assert f"tfds.builder('mnist', data_dir='{tmp_path}').download_and_prepare(file_format='array_record')" in message
    assert "writing images takes tensorflow" in message


def test_parquet_is_refused_because_it_loses_rows(made):
    """The second half is the reason: should it fail, TFDS has mended its writer."""
    features = {"who": tfds.features.Text(), "x": np.int32}
    builder = made(features, {"train": [{"who": "a", "x": row} for row in range(150)]}, file_format="parquet")
    message = refusal(builder, client_key="who")
    assert "expected files as array_record, got parquet" in message
    assert "loses rows" in message
    assert builder.info.splits["train"].num_examples == 150
    assert len(builder.as_data_source("train")) == 100


def test_tfrecord_says_what_to_install(clinics, monkeypatch):
    monkeypatch.setattr(source, "find_spec", lambda name: None)
    monkeypatch.setattr(type(clinics.info), "file_format", property(lambda _: tfds.core.FileFormat.TFRECORD))
    message = refusal(clinics, client_key=KEY)
    assert "expected tensorflow, which tfrecord files need" in message
    assert "pip install tensorflow-cpu" in message


@pytest.mark.skipif(find_spec("tensorflow") is None, reason="tensorflow writes and reads tfrecord files")
def test_tfrecord_gives_what_array_record_gives(made):
    rows = {"train": visits(60), "test": visits(30, first=60)}
    sums = []
    for kind in ("array_record", "tfrecord"):
        builder = made(VISITS, rows, kind)
        assert builder.info.file_format.value == kind
        sums.append(
            [pfl.data.from_tfds(builder, split, client_key=KEY).checksum() for split in ("train", "train[:40]")]
        )
        shutil.rmtree(str(builder.data_path))
    assert sums[0] == sums[1]


def test_other_formats_are_refused(clinics, monkeypatch):
    monkeypatch.setattr(type(clinics.info), "file_format", property(lambda _: tfds.core.FileFormat.RIEGELI))
    assert "array_record or tfrecord, got riegeli" in refusal(clinics, client_key=KEY)


def test_rows_that_are_not_the_recorded_number_are_refused(clinics, own_cache, monkeypatch):
    monkeypatch.setattr(source, "_listed", lambda builder, split, size: iter([(visits_read(builder), 50)]))
    message = refusal(clinics, client_key=KEY)
    assert "expected the 60 rows that were recorded at preparation, got 50" in message
    assert list(own_cache.iterdir()) == []  # nothing half-made is left


def visits_read(builder) -> list[dict]:
    return builder.as_data_source("train").__getitems__(range(50))


@pytest.mark.parametrize("damage", ["cut", "overwritten"])
def test_damaged_records_are_refused(clinics, damage):
    (file,) = clinics.info.splits["train"].filepaths
    content = bytearray(file.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    else:
        content[200:-200] = b"\xff" * (len(content) - 400)
    file.write_bytes(bytes(content))
    message = refusal(clinics, client_key=KEY)
    assert "toy, split 'train': expected readable records" in message
    assert "prepare it again" in message


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pfl_wearble", "did you mean 'pfl_wearable'"),
        ("emnist/byclas", "expected name[/config][:version] as TFDS knows it"),
        ("mnist:9.9.9", "only: 3.0.1"),
        ("./nowhere", "which holds dataset_info.json"),
        (3, "a data set's name, a directory or a TFDS builder, got a int"),
    ],
)
def test_wrong_names_say_what_was_expected(name, words):
    with pytest.raises(PflError) as error:
        pfl.data.from_tfds(name, client_key="client")
    assert words in str(error.value)


def test_a_directory_and_its_builder_are_the_same(clinics, tmp_path):
    mine = pfl.data.from_tfds(clinics, client_key=KEY).checksum()
    for name in (str(clinics.data_path), tmp_path / "data" / "toy" / "1.2.0"):
        assert pfl.data.from_tfds(name, client_key=KEY).checksum() == mine
    assert "data_dir: expected none" in refusal(str(clinics.data_path), client_key=KEY, data_dir=tmp_path)


def test_missing_packages_are_named(clinics, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setattr(features, "is_image", lambda feature: True)
    assert "pip install pfljax[tfds]" in refusal(clinics, client_key=KEY)
