"""TFF's Stack Overflow files, written here in their layout: words as numbers against plain loops, files on disk."""

from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pfljax.data.embedded.text import BOUNDARY, OTHER
from pfljax.data.importers import stack_overflow_words, tff_stack_overflow
from pfljax.data.memory import memory_map
from tests.support.federated import assert_holds, expected, refusal

STEADY = settings(
    deadline=None, derandomize=True, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
TRAIN = {
    "0000001": ["how do i sort a list", "use sort", "i do not know", "a a a a a a a a"],
    "0000007": ["", "ünïcode words do not hurt", "sort"],
}
TEST = {"0000001": ["sort it", "new words"], "0000007": ["how"]}
sentences = st.lists(st.text("ab c\u00e9", max_size=12), min_size=2, max_size=6)


def written(path: Path, authors: dict[str, list]) -> Path:
    with h5py.File(path, "w") as file:
        for author, rows in authors.items():
            tokens = [row if isinstance(row, bytes) else row.encode() for row in rows]
            for name, column in {"tokens": tokens, "title": [b"a title"] * len(rows)}.items():
                file.create_dataset(f"examples/{author}/{name}", data=column, dtype=h5py.string_dtype())
            file[f"examples/{author}/score"] = np.zeros(len(rows), np.int64)
    return path


def numbered(authors: dict[str, list[str]], words: list[str], length: int, most: int = 1000) -> dict:
    """x and y by loops over sentences and words."""
    made = {}
    for author, rows in sorted(authors.items()):
        x = np.full((len(rows[:most]), length), BOUNDARY, np.int16)
        y = x.copy()
        for row, sentence in enumerate(rows[:most]):
            for at, word in enumerate(sentence.split()):
                number = words.index(word) + 2 if word in words else OTHER
                if at < length:
                    y[row, at] = number
                if at + 1 < length:
                    x[row, at + 1] = number
        made[author] = {"x": x, "y": y}
    return made


def frequent(authors: dict[str, list[str]], num: int) -> list[str]:
    counts = Counter(word for rows in authors.values() for row in rows for word in row.split())
    return sorted(counts, key=lambda word: (-counts[word], word.encode()))[:num]


def paths(folder: Path, train=TRAIN, test=TEST) -> tuple[Path, Path]:
    return written(folder / "stackoverflow_train.h5", train), written(folder / "stackoverflow_test.h5", test)


@pytest.mark.parametrize("length", [1, 3, 20])
def test_sentences_become_word_numbers(tmp_path, length):
    population = tff_stack_overflow(*paths(tmp_path), words=5, length=length, folder=tmp_path / "made")
    words = frequent(TRAIN, 5)
    assert_holds(population, expected(numbered(TRAIN, words, length), numbered(TEST, words, length)))
    about = population.about
    assert (about.name, about.num_classes) == ("tff stack overflow", 7)
    assert about.source == "TFF HDF5: stackoverflow_train.h5, stackoverflow_test.h5"


@STEADY
@given(st.dictionaries(st.sampled_from("pqrs"), sentences, min_size=1), sentences, st.integers(1, 4))
def test_what_was_written_is_read(tmp_path_factory, authors, more, length):
    folder = tmp_path_factory.mktemp("so")
    test = {"p": more, "z": more}
    words = ["a", "b", "é"]
    population = tff_stack_overflow(
        *paths(folder, authors, test), words=words, length=length, folder=folder, incomplete="cut"
    )
    assert_holds(population, expected(numbered(authors, words, length), numbered(test, words, length)))


def test_authors_are_capped_in_both_files(tmp_path):
    population = tff_stack_overflow(*paths(tmp_path), words=["sort", "a"], max_rows=2, folder=tmp_path, seed=None)
    sides = (numbered(side, ["sort", "a"], 20, most=2) for side in (TRAIN, TEST))
    assert_holds(population, expected(*sides, seed=None))
    assert population.num_rows == 7


def test_words_are_counted_within_the_cap(tmp_path):
    train, _ = paths(tmp_path)
    assert stack_overflow_words(train, 4) == tuple(frequent(TRAIN, 4)) == ("a", "do", "sort", "i")
    capped = {author: rows[:1] for author, rows in TRAIN.items()}
    assert stack_overflow_words(train, 3, max_rows=1) == tuple(frequent(capped, 3)) == ("a", "do", "how")
    assert stack_overflow_words(train, column="title") == ("a", "title")


def test_rows_lie_in_mapped_files_that_are_opened_again(tmp_path, monkeypatch):
    files = paths(tmp_path)
    first = tff_stack_overflow(*files, words=5, folder=tmp_path / "made")
    mapped = memory_map(first.arrays["x"])
    assert mapped is not None
    made = Path(str(mapped.filename)).parent
    assert [path.name for path in (tmp_path / "made").iterdir()] == [made.name]
    assert (made / "words.txt").read_text(encoding="utf-8").split("\n") == frequent(TRAIN, 5)
    monkeypatch.setattr("pfljax.data.importers.stack_overflow._make", lambda *_: pytest.fail("made again"))
    again = tff_stack_overflow(*files, words=5, folder=tmp_path / "made")
    assert again.checksum() == first.checksum()
    assert again.about == first.about


@pytest.mark.parametrize(
    "change",
    [{"words": 4}, {"length": 3}, {"max_rows": 2}, {"column": "title"}, {"seed": 1}, {"split": (0.5, 0.3, 0.2)}],
)
def test_other_arguments_make_another_folder(tmp_path, change):
    files = paths(tmp_path)
    for arguments in ({}, change):
        tff_stack_overflow(*files, **({"words": 5, "folder": tmp_path / "made"} | arguments))
    assert len(list((tmp_path / "made").iterdir())) == 2


def test_another_file_of_the_same_name_is_imported(tmp_path):
    tff_stack_overflow(*paths(tmp_path), words=5, folder=tmp_path / "made")
    longer = {author: [*rows, "sort more"] for author, rows in TRAIN.items()}
    population = tff_stack_overflow(*paths(tmp_path, longer), words=5, folder=tmp_path / "made")
    assert population.num_rows == 12


def test_the_cache_folder_is_the_default(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tff_stack_overflow(*paths(tmp_path), words=5)
    assert len(list((tmp_path / "cache" / "pfljax" / "data").iterdir())) == 1


def test_nothing_half_made_is_left(tmp_path):
    files = paths(tmp_path, {**TRAIN, "z": ["good", b"bad \xff"]}, {**TEST, "z": ["good"]})
    message = refusal(tff_stack_overflow, *files, words=["good"], folder=tmp_path / "made")
    assert message.startswith(f"{files[0]}, client 'z', column 'tokens': expected text in UTF-8")
    assert list((tmp_path / "made").iterdir()) == []


@pytest.mark.parametrize("name", ["tokens.npy", "clients.npz"])
@pytest.mark.parametrize("damage", ["gone", "empty", "half"])
def test_damaged_results_are_refused(tmp_path, name, damage):
    files = paths(tmp_path)
    tff_stack_overflow(*files, words=5, folder=tmp_path / "made")
    (path,) = (tmp_path / "made").glob(f"*/{name}")
    content = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(b"" if damage == "empty" else content[: len(content) // 2])
    message = refusal(tff_stack_overflow, *files, words=5, folder=tmp_path / "made")
    assert "delete the folder and import again" in message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"words": 0}, "words: expected a whole number of at least 1"),
        ({"words": 40_000}, "words: expected at most 32766"),
        ({"words": "abc"}, "words: expected a number, or a sequence of words"),
        ({"words": ["a", "a"]}, "different words, got 2"),
        ({"words": ["a b"]}, "without spaces"),
        ({"words": []}, "1 to 32766 different words"),
        ({"length": 0}, "length: expected"),
        ({"max_rows": 0}, "max_rows: expected"),
        ({"column": "token"}, "did you mean 'tokens'?"),
        ({"column": "score"}, "column 'score': expected strings [row], got int64"),
        ({"seed": -1}, "seed: expected"),
    ],
)
def test_bad_arguments_are_refused(tmp_path, options, words):
    message = refusal(tff_stack_overflow, *paths(tmp_path), **({"words": 5, "folder": tmp_path} | options))
    assert words in message


def test_authors_in_one_file_are_refused_by_default(tmp_path):
    files = paths(tmp_path, test={"0000001": ["a"]})
    assert "client '0000007': expected rows in both files" in refusal(tff_stack_overflow, *files, words=5)
    population = tff_stack_overflow(*files, words=5, folder=tmp_path, incomplete="leave out")
    assert population.ids == ("0000001",)


def test_files_without_words_are_refused(tmp_path):
    train, _ = paths(tmp_path, {"a": ["", " "]})
    assert "expected words in 'tokens', got none" in refusal(stack_overflow_words, train)
