"""TensorFlow Federated's HDF5 files of Stack Overflow by author, as word numbers on disk. Needs pfljax[hdf5]."""

import hashlib
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.lib.format import open_memmap

from pfljax import cache
from pfljax.data.embedded.runs import ranges
from pfljax.data.embedded.text import BOUNDARY, OTHER
from pfljax.data.importers import values
from pfljax.data.importers.hdf5 import Clients, opened
from pfljax.data.importers.pairs import Cut, File, Incomplete, Table, join
from pfljax.data.memory import memory_map
from pfljax.data.population import About, Population
from pfljax.data.split import Shares
from pfljax.errors import PflError, whole

LAYOUT = 1  # of the files written: another number, and older ones are not opened any more
MOST_WORDS = np.iinfo(np.int16).max - OTHER


class Recipe(NamedTuple):
    """What is read of an author, and by which words; a number of them stands for the most frequent ones."""

    words: int | tuple[str, ...]
    length: int
    max_rows: int
    column: str


def tff_stack_overflow(
    train: str | os.PathLike[str],
    test: str | os.PathLike[str] | None = None,
    split: Shares = (0.6, 0.2, 0.2),
    seed: int | None = 0,
    *,
    words: int | Sequence[str] = 10_000,
    length: int = 20,
    max_rows: int = 1000,
    column: str = "tokens",
    folder: str | os.PathLike[str] | None = None,
    incomplete: Incomplete = "refuse",
    min_rows: int = 0,
) -> Population:
    """TFF's Stack Overflow: `stackoverflow_train.h5` and `stackoverflow_test.h5`; a client is an author.

    The files hold /examples/<author>/tokens, sentences of words with a space between (and titles, tags and more).
    A sentence is an example: x: [example, length] int16, BOUNDARY (0) and its words; y: the same one word further,
    ended by BOUNDARY; 0 pads both, so what stands in y behind its first 0 is no target. Longer sentences are cut off.

    words:    the vocabulary, whose words count from 2 (1 is any other word), or how many of the most frequent words of
              `train` (`stack_overflow_words`) it has
    max_rows: an author's first so many sentences in each file are read
    column:   "tokens", or "title"
    folder:   where the result is written, under a name made of the files and arguments; pfljax's cache folder if None.
              What is there already is opened, not made again. Memory holds one author and the vocabulary's counts

    Of the real files many authors have no rows for test: say incomplete="cut" or "leave out". Others: see `Cut`.
    Raises PflError, naming file and client, for files that are not so.
    """
    for name, number in {"length": length, "max_rows": max_rows}.items():
        whole(name, number)
    words = whole("words", words) if isinstance(words, int | np.integer) else _checked(words)
    recipe, cut = Recipe(words, length, max_rows, column), Cut(split, seed, incomplete, min_rows)
    with opened(train, test) as files:
        root = cache.folder() / "data" if folder is None else Path(folder)
        made = root / f"stack_overflow-{_digest(files, recipe, cut)}"
        if not made.is_dir():
            _make(made, files, recipe, cut)
    return reopen(made, values.source("TFF HDF5", train, test))


def stack_overflow_words(
    train: str | os.PathLike[str], num: int = 10_000, *, max_rows: int = 1000, column: str = "tokens"
) -> tuple[str, ...]:
    """The most frequent words of a file, the most frequent first, those of one frequency in alphabetical order."""
    with opened(train) as files:
        return _count(files[0], num, max_rows, column)


def encode(sentences: Sequence[bytes], numbers: dict[bytes, int], length: int) -> np.ndarray:
    """[row, length + 1] int16: BOUNDARY, a sentence's first `length` words, BOUNDARY to the end of the row.

    numbers: {word: its number}; others become OTHER
    """
    split = list(map(bytes.split, sentences))
    lengths = np.fromiter(map(len, split), np.int64, len(split))
    found = np.fromiter(map(numbers.get, chain.from_iterable(split), repeat(OTHER)), np.int16, int(lengths.sum()))
    row, at = np.repeat(np.arange(len(split)), lengths), ranges(np.zeros_like(lengths), lengths)
    tokens = np.full((len(split), length + 1), BOUNDARY, np.int16)
    kept = at < length
    tokens[row[kept], at[kept] + 1] = found[kept]
    return tokens


def _count(clients: Clients, num: int, max_rows: int, column: str) -> tuple[str, ...]:
    if whole("words", num) > MOST_WORDS:
        raise PflError(f"words: expected at most {MOST_WORDS}, which int16 can number, got {num}")
    counts: Counter[bytes] = Counter()
    for client in clients.ids:
        counts.update(b" ".join(clients.texts(client, column, max_rows)).split())
    if not counts:
        raise PflError(f"{clients.name}: expected words in {column!r}, got none")
    order = sorted(counts, key=lambda word: (-counts[word], word))
    return tuple(word.decode() for word in order[:num])


def _checked(words: Sequence[str]) -> tuple[str, ...]:
    if isinstance(words, str) or not all(isinstance(word, str) and word.split() == [word] for word in words):
        raise PflError(f"words: expected a number, or a sequence of words without spaces, got {words!s:.60}")
    if not 1 <= len(words) <= MOST_WORDS or len(set(words)) < len(words):
        raise PflError(
            f"words: expected 1 to {MOST_WORDS} different words, got {len(words)}, {len(set(words))} of them"
        )
    return tuple(values.utf8("words", word) for word in words)


def _digest(files: list[Clients], recipe: Recipe, cut: Cut) -> str:
    """Names a result by all that it depends on; files by place, size and time of change."""
    stats = [(os.path.realpath(clients.name), os.stat(clients.name)) for clients in files]
    key = (LAYOUT, [(path, stat.st_size, stat.st_mtime_ns) for path, stat in stats], recipe, cut)
    return hashlib.sha256(repr(key).encode()).hexdigest()[:16]


def _make(made: Path, files: list[Clients], recipe: Recipe, cut: Cut) -> None:
    """Writes a folder under another name and renames it when it is whole."""
    words, length, max_rows, column = recipe
    words = _count(files[0], words, max_rows, column) if isinstance(words, int) else words
    numbers = {word.encode(): number for number, word in enumerate(words, OTHER + 1)}

    def part(clients: Clients) -> File:
        def read(client: str) -> Table:
            return {"tokens": encode(clients.texts(client, column, max_rows), numbers, length)}

        rows = {client: min(max_rows, clients.num_rows(client, column)) for client in clients.ids}
        return File(clients.name, rows, read)

    made.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f"{made.name}-", dir=made.parent))

    def new(name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        return open_memmap(draft / f"{name}.npy", mode="w+", dtype=dtype, shape=shape)

    try:
        population = join([part(clients) for clients in files], cut, About(), new=new)
        if (mapped := memory_map(population.arrays["tokens"])) is not None:
            mapped.flush()
        write_clients(draft, population.ids, population.offsets, population.bounds, len(words))
        (draft / "words.txt").write_text("\n".join(words), encoding="utf-8")
        if not made.is_dir():  # somebody else may have been faster
            draft.rename(made)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_clients(folder: Path, ids: Sequence[str], offsets: np.ndarray, bounds: np.ndarray, num_words: int) -> None:
    """What `reopen` reads beside tokens.npy [row, length + 1] int16. Others: see `Population`."""
    names = np.frombuffer("\0".join(ids).encode(), np.uint8)
    np.savez(folder / "clients.npz", ids=names, offsets=offsets, bounds=bounds, num_words=num_words)


def reopen(folder: Path, source: str) -> Population:
    """The population whose files are in `folder`, tokens memory-mapped. Raises PflError for files that are damaged."""
    try:
        tokens = np.load(folder / "tokens.npy", mmap_mode="r", allow_pickle=False)
        with (folder / "clients.npz").open("rb") as file, np.load(file, allow_pickle=False) as clients:
            offsets, bounds, ids = clients["offsets"], clients["bounds"], clients["ids"].tobytes().decode().split("\0")
            num_words = int(clients["num_words"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise PflError(
            f"{folder}: expected files written before, got {error}; delete the folder and import again"
        ) from error
    about = About("tff stack overflow", "next word by author", num_words + OTHER + 1, source)
    return Population({"x": tokens[:, :-1], "y": tokens[:, 1:]}, offsets, bounds, tuple(ids), about=about)
