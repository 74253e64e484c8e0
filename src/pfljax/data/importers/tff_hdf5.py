"""TensorFlow Federated's HDF5 files of EMNIST by writer and of Shakespeare by role. Needs pfljax[hdf5]."""

from collections.abc import Callable
from os import PathLike

import numpy as np

from pfljax.data.embedded.runs import edges
from pfljax.data.embedded.text import next_symbols
from pfljax.data.importers import values
from pfljax.data.importers.hdf5 import Clients, opened
from pfljax.data.importers.pairs import Cut, File, Incomplete, Table, join, place
from pfljax.data.population import About, Population
from pfljax.data.split import Shares
from pfljax.errors import PflError, whole

Path = str | PathLike[str]


def tff_emnist(
    train: Path,
    test: Path | None = None,
    split: Shares = (0.6, 0.2, 0.2),
    seed: int | None = 0,
    *,
    pixels: Callable[[np.ndarray], np.ndarray] | None = values.ink,
    num_classes: int = 62,
    incomplete: Incomplete = "refuse",
    min_rows: int = 0,
) -> Population:
    """TFF's federated EMNIST: `fed_emnist_train.h5` and `fed_emnist_test.h5`; a client is a writer.

    The files hold /examples/<writer>/pixels [example, 28, 28] float32, 1 for paper and 0 for ink, and label [example].
    x: [example, 28, 28] uint8, 0 for paper and 255 for ink (`ink`); `pixels=None` keeps the file's floats, and any
    other function of them makes its own. y: [example] int32. The files of digits only have num_classes=10.

    split, seed, incomplete, min_rows: see `Cut`. Raises PflError, naming file and client, for files that are not so.
    """
    whole("num_classes", num_classes, 2)
    with opened(train, test) as files:
        parts = [_images(clients, pixels, num_classes) for clients in files]
        about = About(
            "tff emnist", "handwritten characters by writer", num_classes, values.source("TFF HDF5", train, test)
        )
        return join(parts, Cut(split, seed, incomplete, min_rows), about)


def tff_shakespeare(
    train: Path,
    test: Path | None = None,
    split: Shares = (0.6, 0.2, 0.2),
    seed: int | None = 0,
    *,
    context: int = 80,
    characters: str = values.CHARACTERS,
    incomplete: Incomplete = "refuse",
    min_rows: int = 0,
) -> Population:
    """TFF's Shakespeare: `shakespeare_train.h5` and `shakespeare_test.h5`; a client is a role of a play.

    The files hold /examples/<role>/snippets, lines of text. Every character of a line and its end are an example, as in
    `keyboard`: x: [example, context] uint8, the symbols before y: [example] uint8. Symbol 0 ends a line and pads its
    beginning, 1 is any character that is not in `characters`, which count from 2.
    Lines are shuffled and cut whole, by their number, so that no line is in two splits.

    split, seed, incomplete, min_rows: see `Cut`. Raises PflError, naming file and client, for files that are not so.
    """
    whole("context", context, 1)
    known = values.alphabet(characters)
    with opened(train, test) as files:
        parts = [_lines(clients, context, known) for clients in files]
        about = About(
            "tff shakespeare", "next character by role", len(characters) + 2, values.source("TFF HDF5", train, test)
        )
        return join(parts, Cut(split, seed, incomplete, min_rows), about)


def _images(clients: Clients, pixels: Callable[[np.ndarray], np.ndarray] | None, num_classes: int) -> File:
    def read(client: str) -> Table:
        where = place(clients.name, client)
        x, labels = clients.numbers(client, "pixels"), clients.numbers(client, "label")
        if len(x) != len(labels):
            raise PflError(f"{where}: expected as many labels as pixels, got {len(labels)} and {len(x)}")
        y = values.classes(where, labels, num_classes)
        return {"x": x if pixels is None else values.converted(where, pixels, x), "y": y}

    return File(clients.name, {client: clients.num_rows(client, "label") for client in clients.ids}, read)


def _lines(clients: Clients, context: int, known: tuple[np.ndarray, np.ndarray]) -> File:
    tokens, lengths = {}, {}
    for client in clients.ids:
        lines = [line.decode() for line in clients.texts(client, "snippets")]
        tokens[client] = values.symbols("".join(lines), known)
        lengths[client] = np.fromiter(map(len, lines), np.int64, len(lines))

    def read(client: str) -> Table:
        x, y = next_symbols(tokens[client], edges(lengths[client])[:-1], lengths[client], context)
        return {"x": x, "y": y}

    units = {client: mine + 1 for client, mine in lengths.items()}
    return File(clients.name, {client: int(mine.sum()) for client, mine in units.items()}, read, units)
