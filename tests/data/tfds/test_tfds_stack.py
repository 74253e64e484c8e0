"""The cache of what was read: mapped, made once, made anew where the files changed, refused where it is damaged."""

import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tfds_toys import VISITS, visits

import pfljax as pfl
from pfljax.data.memory import memory_map
from pfljax.data.tfds import source, stack
from pfljax.data.tfds.stack import Stack
from pfljax.errors import PflError

KEY = "visit/clinic"


@pytest.fixture
def reads(monkeypatch) -> list[str]:
    """The splits that are read from TFDS's files."""
    calls, chunks = [], source.chunks
    monkeypatch.setattr(source, "chunks", lambda *args: [calls.append(args[1]), chunks(*args)][1])
    return calls


def test_a_second_call_reads_nothing_and_copies_nothing(clinics, reads):
    first = pfl.data.from_tfds(clinics, client_key=KEY)
    second = pfl.data.from_tfds(str(clinics.data_path), client_key=KEY)
    assert reads == ["train"]
    assert first.checksum() == second.checksum()
    for array in second.arrays.values():
        assert memory_map(array) is not None
        assert array.ctypes.data % 64 == 0
        assert not array.flags.writeable


def test_another_parse_or_seed_reads_nothing(clinics, reads):
    made = [
        pfl.data.from_tfds(clinics, client_key=KEY, parse=parse, seed=seed)
        for parse in (None, lambda text: text[0], lambda text: text[2:])
        for seed in (None, 0)
    ]
    assert reads == ["train"]
    assert len({population.checksum() for population in made}) == 6
    assert {population.num_clients for population in made} == {8, 4, 2}


@pytest.mark.parametrize(
    "other",
    [
        {"split": "test"},
        {"split": "train[:50]"},
        {"client_key": "kind"},
        {"arrays": {"x": "pixels"}},
        {"arrays": {"z": "pixels"}},
        {"group_key": KEY},
    ],
)
def test_another_request_is_read_apart(clinics, reads, own_cache, other):
    for options in ({}, other, {}, other):
        pfl.data.from_tfds(clinics, **({"client_key": KEY, "arrays": {"y": "kind"}} | options))
    assert len(reads) == len(list(own_cache.iterdir())) == 2


def test_files_prepared_anew_are_read_anew(clinics, made, reads):
    before = pfl.data.from_tfds(clinics, client_key="kind")
    shutil.rmtree(str(clinics.data_path))
    again = made(VISITS, {"train": visits(60, first=5), "test": visits(30)})
    after = pfl.data.from_tfds(again, client_key="kind")
    assert reads == ["train", "train"]
    assert after.checksum() != before.checksum()


@pytest.mark.parametrize("file", ["0.npy", "key0.npy", "about.json", "by-*/0.npy"])
@pytest.mark.parametrize("damage", ["cut", "emptied", "longer", "overwritten", "deleted"])
def test_a_damaged_cache_is_refused_and_made_again_once_deleted(clinics, own_cache, file, damage):
    whole = pfl.data.from_tfds(clinics, client_key=KEY, arrays={"x": "pixels"}).checksum()
    (folder,) = own_cache.iterdir()
    (path,) = folder.glob(file)
    content = path.read_bytes()
    changed = {
        "cut": content[: len(content) // 2],
        "emptied": b"",
        "longer": content + b"1",
        "overwritten": b"\xff" * len(content),
    }
    if damage == "deleted":
        path.unlink()
    else:
        path.write_bytes(changed[damage])
    with pytest.raises(
        PflError, match=r"expected what was once written there, got .*; delete .*, it is made again"
    ) as error:
        pfl.data.from_tfds(clinics, client_key=KEY, arrays={"x": "pixels"})
    shutil.rmtree(str(error.value).split("; delete ")[1].split(", it is")[0])
    assert pfl.data.from_tfds(clinics, client_key=KEY, arrays={"x": "pixels"}).checksum() == whole


def test_codes_and_columns_that_do_not_fit_are_refused(clinics, own_cache):
    pfl.data.from_tfds(clinics, client_key=KEY, arrays={"x": "pixels"})
    (folder,) = own_cache.iterdir()
    codes = np.load(folder / "key0.npy")
    np.save(folder / "key0.npy", np.where(np.arange(60) == 7, 8, codes).astype(np.int32))
    with pytest.raises(PflError, match="codes outside the 8 values"):
        pfl.data.from_tfds(clinics, client_key=KEY, arrays={"x": "pixels"})
    np.save(folder / "key0.npy", codes)
    np.save(folder / "0.npy", np.zeros((60, 2, 3), np.float32))
    with pytest.raises(PflError, match=r"float32\[60, 2, 3\] instead of int16\[60, 2, 3\]"):
        pfl.data.from_tfds(clinics, client_key=KEY, arrays={"x": "pixels"})


def test_pickles_are_never_loaded(clinics, own_cache):
    pfl.data.from_tfds(clinics, client_key=KEY, arrays={"x": "pixels"})
    (folder,) = own_cache.iterdir()
    np.save(folder / "0.npy", np.array([{}] * 60), allow_pickle=True)
    with pytest.raises(PflError, match="expected what was once written"):
        pfl.data.from_tfds(clinics, client_key=KEY, arrays={"x": "pixels"})


def test_an_interrupted_reading_leaves_nothing(clinics, own_cache, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt
        yield

    with monkeypatch.context() as patch:
        patch.setattr(source, "chunks", interrupted)
        with pytest.raises(KeyboardInterrupt):
            pfl.data.from_tfds(clinics, client_key=KEY)
    assert list(own_cache.iterdir()) == []
    assert pfl.data.from_tfds(clinics, client_key=KEY).num_rows == 60


def test_a_folder_that_cannot_be_written_is_said(clinics, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(PflError, match=r"cache: expected to write .*; make room there or set XDG_CACHE_HOME"):
        pfl.data.from_tfds(clinics, client_key=KEY)


def test_two_readers_at_once_leave_one_folder(clinics, own_cache, monkeypatch):
    together, chunks = threading.Barrier(2), source.chunks

    def slow(*arguments):
        yield from chunks(*arguments)
        together.wait(timeout=20)  # both have read all before either renames

    monkeypatch.setattr(source, "chunks", slow)
    sums = []
    read = lambda: sums.append(pfl.data.from_tfds(str(clinics.data_path), client_key=KEY).checksum())
    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sums) == 2
    assert len(set(sums)) == 1
    assert len(list(own_cache.iterdir())) == 1


def test_what_is_cached_is_told(clinics, own_cache):
    pfl.data.from_tfds(clinics, {"train": "train", "test": "test"}, client_key="kind", arrays={"x": "pixels"})
    (folder,) = own_cache.iterdir()
    about = json.loads((folder / "about.json").read_text())
    assert folder.name.startswith("toy-")
    assert (about["name"], about["splits"], about["counts"]) == ("toy/1.2.0", ["train", "test"], [60, 30])
    assert (about["arrays"], about["keys"]) == ({"x": "pixels"}, {"client_key": "kind"})


def written(folder: Path, array: np.ndarray) -> Stack:
    folder.mkdir(exist_ok=True)
    np.save(folder / "0.npy", array)
    return Stack(folder, {"x": np.load(folder / "0.npy", mmap_mode="r")}, {}, {}, [len(array)])


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    order=st.integers(1, 60).flatmap(lambda num: st.tuples(st.just(num), st.permutations(range(num)))),
    kept=st.floats(0, 1),
    width=st.integers(0, 3),
    block=st.integers(1, 90),
    part=st.integers(1, 200),
)
def test_any_order_in_parts_and_blocks_of_any_size(tmp_path_factory, order, kept, width, block, part):
    num, order = order[0], np.array(order[1][: max(1, int(kept * order[0]))], np.int64)
    array = np.arange(num * (width + 1), dtype=np.int16).reshape((num, width + 1)[: 1 + (width > 0)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stack, "BLOCK", block)
        patch.setattr(stack, "LEAST_PART", part)
        made = stack.arranged(written(tmp_path_factory.mktemp("stack"), array), order)["x"]
    np.testing.assert_array_equal(made, array[order])
    assert made.dtype == array.dtype


def test_the_same_order_is_no_second_file(tmp_path):
    here = written(tmp_path / "s", np.arange(5.0))
    assert stack.arranged(here, np.arange(5)) is here.arrays
    stack.arranged(here, np.array([4, 3, 2, 1, 0]))
    assert len(list((tmp_path / "s").glob("by-*"))) == 1
