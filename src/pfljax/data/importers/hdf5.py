"""The layout that TFF's HDF5 files share: /examples/<client>/<column>, one row an example."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from pfljax.data.importers.pairs import place
from pfljax.data.importers.values import utf8
from pfljax.data.optional import need
from pfljax.errors import PflError, nearest

GROUP = "examples"


class Clients:
    """An open file's clients. Whatever cannot be read is a PflError that names file, client and column.

    name: the file's; ids: [client] in the file's order
    """

    def __init__(self, name: str, group: Any):
        self.name, self._group = name, group
        self.ids = tuple(utf8(f"{name}, id of a client", key) for key in _tried(name, lambda: list(group)))
        if not self.ids:
            raise PflError(f"{name}: expected at least one client in /{GROUP}, got none")

    def num_rows(self, client: str, column: str) -> int:
        """Rows of a client's column."""
        return len(self._dataset(client, column))

    def numbers(self, client: str, column: str) -> np.ndarray:
        """[row, ...]: a column of finite numbers."""
        dataset, where = self._dataset(client, column), self._at(client, column)
        if dataset.dtype.kind not in "fiu":
            raise PflError(f"{where}: expected numbers, got dtype {dataset.dtype}")
        found = _tried(where, lambda: dataset[()])
        if not (good := np.isfinite(found)).all():
            row = int(np.argmin(good.reshape(len(found), -1).all(axis=1)))
            raise PflError(
                f"{where}: expected finite numbers, got NaN or infinity in row {row}; impute or drop the row"
            )
        return found

    def texts(self, client: str, column: str, most: int | None = None) -> list[bytes]:
        """[row]: a column of strings, UTF-8 all of them; the first `most` of them."""
        dataset, where = self._dataset(client, column), self._at(client, column)
        if dataset.ndim != 1 or need("h5py", "hdf5").check_string_dtype(dataset.dtype) is None:
            raise PflError(f"{where}: expected strings [row], got {dataset.dtype}{list(dataset.shape)}")
        found = _tried(where, lambda: dataset[:most].tolist())
        try:
            b"\n".join(found).decode()
        except UnicodeError as error:
            raise PflError(f"{where}: expected text in UTF-8, got {error}; recode it first") from error
        return found

    def _dataset(self, client: str, column: str) -> Any:
        h5py, where = need("h5py", "hdf5"), place(self.name, client)
        group = _tried(where, lambda: self._group[client])
        if not isinstance(group, h5py.Group):
            raise PflError(f"{where}: expected a group of columns, got a {type(group).__name__}")
        if column not in group:
            known = _tried(where, lambda: list(group))
            hint = nearest(column, known)
            raise PflError(f"{where}: expected a column {column!r}, got {', '.join(known) or 'none'}{hint}")
        dataset = _tried(where, lambda: group[column])
        if not isinstance(dataset, h5py.Dataset) or dataset.ndim == 0:
            raise PflError(
                f"{self._at(client, column)}: expected an array, got a {type(dataset).__name__} without rows"
            )
        return dataset

    def _at(self, client: str, column: str) -> str:
        return f"{place(self.name, client)}, column {column!r}"


@contextmanager
def opened(*paths: str | PathLike[str] | None) -> Iterator[list[Clients]]:
    """The clients of each file, but for None. Raises PflError for one that is missing, damaged or of another layout."""
    with ExitStack() as stack:
        yield [_clients(stack, str(path)) for path in paths if path is not None]


def _clients(stack: ExitStack, name: str) -> Clients:
    h5py = need("h5py", "hdf5")
    if not Path(name).is_file():
        raise PflError(f"{name}: expected an HDF5 file, got none of that name")
    file = stack.enter_context(_tried(name, lambda: h5py.File(name, "r")))
    if not isinstance(_tried(name, lambda: file.get(GROUP)), h5py.Group):
        found = ", ".join(_tried(name, lambda: list(file))) or "nothing"
        raise PflError(f"{name}: expected a group /{GROUP} with one group for each client, got {found}")
    return Clients(name, file[GROUP])


def _tried(where: str, action: Callable[[], Any]) -> Any:
    try:
        return action()
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:  # all that h5py makes of damaged files
        raise PflError(
            f"{where}: expected HDF5 that can be read, got {error}; restore or fetch the file again"
        ) from error
