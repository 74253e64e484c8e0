"""`Partition`: what it refuses, its hash, its file, and the population it makes."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pfljax.data import About, Population, partition
from pfljax.data.partition import Partition, fingerprint
from pfljax.errors import PflError

STEADY = settings(
    deadline=None, derandomize=True, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
Y = np.arange(40, dtype=np.int32) % 5
ARRAYS = {"x": np.arange(120, dtype=np.uint8).reshape(40, 3), "y": Y, "z": np.arange(40.0)}


def made(**changes) -> Partition:
    parts = {
        "rows": np.array([3, 1, 0, 4]),
        "offsets": np.array([0, 1, 4]),
        "ids": ("ada", "böb"),
        "source": fingerprint(6),
        "num_rows": 6,
        "name": "by hand",
        "parameters": {"alpha": 0.1, "min_size": 2, "coarse": "no"},
        "seed": 7,
        "groups": ("g", "h"),
    }
    return Partition(**(parts | changes))


def refusal(make, *arguments, **options) -> str:
    with pytest.raises(PflError) as error:
        make(*arguments, **options)
    assert re.search(r"expected .+ got .+", str(error.value))
    return str(error.value)


# ---- what it is ----


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rows": np.array([3, 1, 0, 6])}, "rows: expected some from 0 to 5, got 6"),
        ({"rows": np.array([3, 1, -1, 4])}, "rows: expected some from 0 to 5, got -1"),
        ({"rows": np.array([3, 1, 3, 4])}, "rows: expected every row once, got row 3 twice"),
        ({"rows": np.array([3, 1, 3, 4]), "num_rows": 10**12}, "rows: expected every row once, got row 3 twice"),
        ({"rows": np.array([3.0, 1, 0, 4])}, "rows: expected a row of whole numbers, got float64[4]"),
        ({"rows": np.array([[3, 1, 0, 4]])}, "rows: expected a row of whole numbers, got int64[1, 4]"),
        ({"offsets": np.array([0, 4])}, "offsets: expected 3 numbers from 0 to 4"),
        ({"offsets": np.array([0, 1, 3])}, "offsets: expected 3 numbers from 0 to 4"),
        ({"offsets": np.array([1, 2, 4])}, "offsets: expected 3 numbers from 0 to 4"),
        ({"offsets": np.array([0, 0, 4])}, "client 'ada': expected at least one row, got none"),
        ({"offsets": np.array([0, 5, 4])}, "client 'böb': expected at least one row"),
        ({"ids": ("ada", "ada")}, "ids: expected every client once, got 'ada' 2 times"),
        ({"ids": (), "offsets": np.array([0]), "rows": np.zeros(0, int)}, "offsets: expected 1 numbers"),
        ({"groups": ("g",)}, "groups: expected one for each of the 2 clients, got 1"),
    ],
)
def test_what_is_no_partition_is_refused(changes, words):
    assert words in refusal(made, **changes)


def test_parts_can_be_looked_at_and_not_written_to():
    one = made()
    assert one.num_clients == 2
    assert one.sizes.tolist() == [1, 3]
    assert one.client("böb").tolist() == [1, 0, 4]
    assert "client: expected one of the 2 ids, got 'eve'" in refusal(one.client, "eve")
    with pytest.raises(ValueError, match="read-only"):
        one.rows[0] = 1


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": np.array([1, 3, 0, 4])},
        {"offsets": np.array([0, 2, 4])},
        {"ids": ("ada", "bob")},
        {"source": fingerprint(7)},
        {"num_rows": 7},
        {"groups": None},
        {"groups": ("g", "g")},
    ],
)
def test_the_hash_sees_who_owns_what(changes):
    assert made(**changes).sha256() != made().sha256()


def test_the_hash_does_not_see_who_dealt():
    assert made(name="", parameters={}, seed=None, rows=np.array([3, 1, 0, 4], np.int32)).sha256() == made().sha256()
    assert made().sha256() == "a8945e8365f4cc1de57b2f4d9f2fb2e2f90fe2d091f428a4d0d3227bfdd44798"


def test_fingerprints():
    assert fingerprint(6) != fingerprint(7)
    assert fingerprint(Y) == fingerprint(Y.astype(">i4")) == fingerprint(np.repeat(Y, 2)[::2])
    assert len({fingerprint(Y.astype(kind)) for kind in ("i4", "i8", "u4", "f4")}) == 4
    assert fingerprint(np.array(["ada", "böb"], object)) == fingerprint(np.array(["ada", "böb"], "<U20"))
    assert fingerprint(np.array(["ab", "c"])) != fingerprint(np.array(["a", "bc"]))
    assert "shape [2, 2]" in refusal(fingerprint, np.zeros((2, 2)))
    assert "got 3, a int, in row 1 after a str" in refusal(fingerprint, np.array(["a", 3], object))


# ---- its file ----


@STEADY
@given(
    rows=st.integers(4, 60),
    clients=st.integers(1, 2),
    ids=st.lists(st.text(max_size=5).filter(lambda s: s.isprintable()), min_size=2, max_size=2, unique=True),
    seed=st.integers(0, 5),
)
def test_what_is_saved_is_loaded(tmp_path, rows, clients, ids, seed):
    one = replace(partition.iid(rows, clients, seed=seed), ids=tuple(ids[:clients]))
    one.save(tmp_path / "p.npz")
    again = Partition.load(tmp_path / "p.npz")
    assert again.sha256() == one.sha256()
    np.testing.assert_array_equal(again.rows, one.rows)
    for name in ("ids", "groups", "source", "num_rows", "name", "parameters", "seed"):
        assert getattr(again, name) == getattr(one, name)


def test_every_partitioner_can_be_saved(tmp_path):
    """With numpy's numbers as arguments, which JSON would not take."""
    two, half = np.int64(2), np.float32(0.5)
    for one in (
        made(),
        partition.dirichlet(Y, two, half, seed=np.int64(1)),
        partition.pachinko(Y, Y // 2, two, alpha=half),
        partition.zipf_sizes(40, two, half),
        partition.temporal(np.arange(40), two, keys=Y),
        partition.by_column(Y, min_size=two),
    ):
        one.save(tmp_path / "p")
        assert Partition.load(str(tmp_path / "p")).sha256() == one.sha256()
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


@STEADY
@given(data=st.data())
def test_a_damaged_file_is_refused_or_harmless(tmp_path, data):
    made().save(tmp_path / "p.npz")
    content = bytearray((tmp_path / "p.npz").read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    (tmp_path / "bad.npz").write_bytes(content)
    try:
        again = Partition.load(tmp_path / "bad.npz")
    except PflError as error:
        assert "bad.npz: expected" in str(error)  # noqa: PT017
    else:  # a date in the archive's directory, say
        assert again.sha256() == made().sha256()
        assert again.parameters == made().parameters


def test_a_damaged_header_is_not_believed(tmp_path):
    """It would ask for 32 TB before the archive's own checksum is looked at."""
    made().save(tmp_path / "p")
    content = (tmp_path / "p").read_bytes()
    huge = content.replace(b"(4,), }" + b" " * 12, b"(4444444444444,), }", 1)
    assert huge != content
    (tmp_path / "p").write_bytes(huge)
    assert "expected a whole file, got a damaged rows.npy" in refusal(Partition.load, tmp_path / "p")


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "other"
    assert "expected a partition's file, got none" in refusal(Partition.load, path)
    assert "expected a partition's npz, got" in refusal(Partition.load, tmp_path)
    with path.open("wb") as file:
        np.savez(file, rows=np.arange(3))
    assert "got an archive with ['rows.npy']" in refusal(Partition.load, path)
    with path.open("wb") as file:
        np.save(file, np.arange(3))
    assert "got a damaged file or another kind" in refusal(Partition.load, path)
    objects = {"rows": np.array([{}], object), "offsets": np.arange(2), "facts": np.zeros(2, np.uint8)}
    with path.open("wb") as file:
        np.savez(file, **objects)  # pyright: ignore[reportArgumentType]
    assert "got a damaged file or another kind" in refusal(Partition.load, path)
    assert "expected a place to write" in refusal(made().save, tmp_path / "none" / "p")


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (b'"format": 1', b'"format": 2', "(format 1), got format = 2"),
        (b'"seed": 7', b'"seed": ""', "got seed = "),
        (b'["ada", ', b'["ada"], "x": [', "got the keys"),
        (b'"ada"', b"3", "got ids = [3, "),
        (b'"ada"', b'"eve"', "expected sha256"),
        (b'"num_rows": 6', b'"num_rows": 2', "got one with rows: expected some from 0 to 1, got 4"),
        (b'"num_rows": 6', b'"num_rows": -6', "got num_rows = -6"),
        (b'"num_rows": 6', b'"num_rows": 10000000000000', "expected sha256"),
        (b"{", b"", "damaged file or another kind"),
    ],
)
def test_wrong_contents_are_refused(tmp_path, before, after, words):
    made().save(tmp_path / "p")
    with np.load(tmp_path / "p") as archive:
        parts = dict(archive)
    text = parts["facts"].tobytes()
    assert before in text
    parts["facts"] = np.frombuffer(text.replace(before, after, 1), np.uint8)
    with (tmp_path / "p").open("wb") as file:
        np.savez(file, **parts)  # pyright: ignore[reportArgumentType]
    assert words in refusal(Partition.load, tmp_path / "p")


# ---- the population it makes ----


@pytest.mark.parametrize("seed", [None, 0, 3])
def test_clients_have_their_rows(seed):
    one = partition.dirichlet(Y, 6, 0.3)
    people = one.apply(ARRAYS, (0.5, 0.25, 0.25), seed, about=About("toy", num_classes=5))
    assert people.about == About("toy", num_classes=5, partition=one.sha256())
    assert people.ids == one.ids
    for name in people.ids:
        parts = [people.client(name, split) for split in ("train", "validation", "test")]
        rows = np.concatenate([part["z"] for part in parts]).astype(int)
        assert sorted(rows.tolist()) == one.client(name).tolist()
        for key, array in ARRAYS.items():
            np.testing.assert_array_equal(np.concatenate([part[key] for part in parts]), array[rows])
            assert people.arrays[key].dtype == array.dtype
        assert seed is not None or rows.tolist() == one.client(name).tolist()
    # The split is the one that any population of these clients has.
    clients = {name: {key: array[one.client(name)] for key, array in ARRAYS.items()} for name in one.ids}
    same = Population.from_clients(clients, (0.5, 0.25, 0.25), seed, about=people.about)
    assert people.checksum() == same.checksum()


def test_the_split_has_a_seed_of_its_own():
    one, other = partition.iid(40, 4, seed=0), partition.iid(40, 4, seed=1)
    first, second = one.apply(ARRAYS, seed=0), one.apply(ARRAYS, seed=1)
    assert first.checksum() != second.checksum()
    assert first.about == second.about != other.apply(ARRAYS, seed=0).about
    np.testing.assert_array_equal(first.offsets, second.offsets)


def test_groups_are_handed_on():
    people = partition.temporal(np.arange(40), 2, keys=Y).apply(ARRAYS, seed=None, made_for=np.arange(40))
    assert people.ids[:3] == ("0/0", "0/1", "1/0")
    assert (people.groups or ())[:3] == ("0", "0", "1")


def test_mapped_arrays_are_taken_from(tmp_path):
    np.save(tmp_path / "x.npy", ARRAYS["x"])
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    one = partition.iid(40, 4)
    assert one.apply({"x": mapped}).checksum() == one.apply({"x": ARRAYS["x"]}).checksum()


def test_other_data_are_refused_with_both_fingerprints():
    one = partition.dirichlet(Y, 4, 1.0)
    changed = Y.copy()
    changed[7] = 4
    message = refusal(one.apply, {"y": changed})
    assert fingerprint(Y) in message
    assert f"{fingerprint(changed)} of y" in message
    assert fingerprint(Y.astype(np.int64)) in refusal(one.apply, {"y": Y.astype(np.int64)})
    message = refusal(one.apply, {"x": ARRAYS["x"]})
    assert fingerprint(Y) in message
    assert "give the column it was made for as made_for=" in message
    assert one.apply({"x": ARRAYS["x"]}, made_for=Y).num_clients == 4
    assert f"{fingerprint(changed)} of made_for" in refusal(one.apply, ARRAYS, made_for=changed)
    message = refusal(one.apply, {"y": Y[:39]})
    assert "array 'y': expected the 40 rows" in message
    assert fingerprint(Y) in message
    assert "got shape [39]" in message
    assert "array 'y'" in refusal(partition.iid(39, 4).apply, {"y": Y})
    assert "at least one, got none" in refusal(one.apply, {})
    assert "array 's': expected numbers or booleans" in refusal(one.apply, {"y": Y, "s": Y.astype(str)})
    assert "split: expected three shares" in refusal(one.apply, ARRAYS, split=(1, 1, 1))
    small = partition.dirichlet(Y, 40, 1.0, min_size=1)
    assert "client '0': expected at least 2 examples" in refusal(small.apply, ARRAYS)
    assert small.apply(ARRAYS, (1.0, 0.0, 0.0)).num_clients == 40
