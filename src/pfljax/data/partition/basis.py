"""What partitions are made for: labels, keys, times, or a number of rows; checked, and told apart by a fingerprint."""

import hashlib

import numpy as np

from pfljax.errors import PflError, whole


def fingerprint(basis: "int | np.ndarray") -> str:
    """sha256 of a number of rows, or of one column: its dtype, its length and its values.

    Strings count by their characters, not by the width of their array. Raises PflError for what is no column.

    >>> fingerprint(np.array(["a", "b"])) == fingerprint(np.array(["a", "b"], "<U9"))
    True
    >>> fingerprint(np.arange(3, dtype=np.int32)) == fingerprint(np.arange(3, dtype=np.int64))
    False
    """
    if isinstance(basis, int | np.integer):
        return hashlib.sha256(f"{whole('rows', basis)} rows".encode()).hexdigest()
    array = column("column", basis)
    if array.dtype.kind in "US":
        array = array.astype(f"{array.dtype.kind}{max(1, int(np.strings.str_len(array).max()))}")
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(array.view(np.uint8).data)
    return digest.hexdigest()


def column(name: str, values: object) -> np.ndarray:
    """[row] numbers, times, str or bytes. Objects (a frame's strings) become arrays of the one type they all have.

    Raises PflError for what is none of these, for no rows, and for objects of several types, naming a row.
    """
    array = np.asarray(values)
    if array.ndim != 1 or not len(array):
        raise PflError(f"{name}: expected one value for each of at least one row, got shape {list(array.shape)}")
    if array.dtype.kind in "OT":
        array = _same_type(name, array)
    if array.dtype.kind not in "biufMmUS":
        raise PflError(f"{name}: expected numbers, times, str or bytes, got dtype {array.dtype}")
    return array


def labels(values: object, name: str = "labels") -> tuple[np.ndarray, int]:
    """([row] int64 codes, number of labels that occur): the labels counted through in rising order.

    Raises PflError, naming the row, for labels that are negative or no whole numbers.
    """
    array = column(name, values)
    if array.dtype.kind == "f":
        bad = int(np.argmin(np.isfinite(array)))
        got = f"{array.dtype} with {array[bad]} in row {bad}" if not np.isfinite(array[bad]) else str(array.dtype)
        raise PflError(f"{name}: expected whole numbers, got {got}; drop such rows and cast to an integer dtype")
    if array.dtype.kind not in "iub":
        raise PflError(f"{name}: expected whole numbers, got dtype {array.dtype}; encode them first")
    if array.dtype.kind == "i" and (array < 0).any():
        row = int(np.argmax(array < 0))
        raise PflError(f"{name}: expected none below 0, got {array[row]} in row {row}; drop unlabelled rows")
    if int(array.max()) > 4 * len(array) + 2**16:
        values, codes = np.unique(array, return_inverse=True)
        return codes.astype(np.int64), len(values)
    array = array.astype(np.int64)
    present = np.bincount(array) > 0
    return (np.cumsum(present) - 1)[array], int(present.sum())


def times(values: object) -> np.ndarray:
    """[row] numbers or datetime64. Raises PflError, naming the row, for NaN, infinity and NaT."""
    array = column("times", values)
    if array.dtype.kind not in "iufM":
        raise PflError(f"times: expected numbers or datetime64, got dtype {array.dtype}; parse them first")
    if array.dtype.kind in "fM" and not (good := np.isfinite(array)).all():
        row = int(np.argmin(good))
        raise PflError(f"times: expected finite times, got {array[row]} in row {row}; drop or fill that row")
    return array


def clients(values: object) -> tuple[np.ndarray, tuple[str, ...]]:
    """([row] int64 codes, [client] ids in rising order of their keys) of str, bytes (UTF-8) or whole-number keys.

    Raises PflError, naming the row, for keys of other types, empty ones, and ones that are no UTF-8.
    """
    array = column("keys", values)
    if array.dtype.kind not in "iuUS":
        raise PflError(f"keys: expected str, bytes or whole numbers, got dtype {array.dtype}; cast them first")
    found, first, codes = np.unique(array, return_index=True, return_inverse=True)
    ids = tuple(_id(key, int(row)) for key, row in zip(found.tolist(), first, strict=True))
    return codes.astype(np.int64), ids


def _id(key: str | bytes | int, row: int) -> str:
    """The id of one client. Unpaired surrogates are what undecodable bytes look like in a str."""
    if key in ("", b""):
        raise PflError(f"keys: expected a client in every row, got an empty key in row {row}; drop or fill that row")
    try:
        name = key.decode() if isinstance(key, bytes) else str(key)
        name.encode()
    except UnicodeError as error:
        raise PflError(f"keys: expected UTF-8, got {key!r} in row {row}; decode the keys first") from error
    return name


def _same_type(name: str, array: np.ndarray) -> np.ndarray:
    values = array.tolist()
    kinds = list(map(type, values))
    if len(set(kinds)) > 1 or kinds[0] not in (str, bytes, int, float, bool):
        row = next((row for row, kind in enumerate(kinds) if kind is not kinds[0]), 0)
        raise PflError(
            f"{name}: expected str, bytes or numbers of one type, got {values[row]!r}, a {kinds[row].__name__}, in "
            f"row {row}" + (f" after a {kinds[0].__name__}" if row else "") + "; drop or cast it"
        )
    if kinds[0] in (str, bytes):
        zero = "\0" if kinds[0] is str else b"\0"
        if any(zero in value for value in values):
            raise PflError(f"{name}: expected none with a zero character, got one; strip it")
    return np.array(values)
