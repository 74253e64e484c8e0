"""Which features of a TFDS data set become arrays and which can name clients."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pfljax.data.optional import need
from pfljax.errors import PflError, nearest


class Column(NamedTuple):
    """One feature: `keys` lead to it in an example, `path` is how it is called ("data/customer_id")."""

    path: str
    keys: tuple[str, ...]
    feature: Any

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.feature.np_dtype)

    @property
    def row_bytes(self) -> int:
        return int(np.prod(self.feature.shape, dtype=np.int64)) * self.dtype.itemsize

    def values(self, rows: Any) -> Any:
        """This feature of a chunk: a list of examples, or examples stacked already."""
        if isinstance(rows, dict):
            return _within(rows, self.keys)
        return [_within(row, self.keys) for row in rows]


def columns(features: Any) -> dict[str, Column]:
    """{path: column} of all features, nested ones by their path."""
    folder = need("tensorflow_datasets", "tfds").features.FeaturesDict
    found = {}

    def walk(inner: Any, keys: tuple[str, ...]) -> None:
        for name, feature in inner.items():
            here = (*keys, name)
            if isinstance(feature, folder):
                walk(feature, here)
            else:
                found["/".join(here)] = Column("/".join(here), here, feature)

    walk(features, ())
    return found


def chosen(known: Mapping[str, Column], arrays: Mapping[str, str] | None, keys: Sequence[str]) -> dict[str, Column]:
    """{array: its column}: those asked for, or all of numbers in a fixed shape but the keys.

    Raises PflError for features that are not there or can be no array, naming the reason.
    """
    if arrays is None:
        made = {path: column for path, column in known.items() if path not in keys and not _obstacle(column)}
        if not made:
            listed = "; ".join(f"{path} {_obstacle(column) or 'is a key'}" for path, column in known.items())
            raise PflError(f"arrays: expected at least one feature of numbers in a fixed shape, got none: {listed}")
    else:
        if not isinstance(arrays, Mapping) or not arrays:
            raise PflError(f"arrays: expected {{array name: feature}}, such as {{'x': 'image'}}, got {arrays!r}")
        made = {name: column_of(known, f"arrays[{name!r}]", path) for name, path in arrays.items()}
        for name, column in made.items():
            if reason := _obstacle(column):
                raise PflError(f"arrays[{name!r}]: expected numbers in a fixed shape, but {column.path!r} {reason}")
    if any(is_image(column.feature) for column in known.values()):  # examples are decoded whole
        need("PIL", "tfds")
    return made


def key_column(known: Mapping[str, Column], argument: str, path: str) -> Column:
    """The column that names clients. Raises PflError unless it holds one text, class or whole number a row."""
    column = column_of(known, argument, path)
    shape = column.feature.shape
    if shape != () or not (is_text(column) or column.dtype.kind in "iu"):
        got = f"{column.dtype} in shape {_shown(shape)}" if isinstance(shape, tuple) else f"{column.feature!r}"
        raise PflError(f"{argument}: expected one Text, ClassLabel or whole number a row, but {path!r} holds {got}")
    return column


def column_of(known: Mapping[str, Column], argument: str, path: str) -> Column:
    if path not in known:
        names = ", ".join(known)
        raise PflError(f"{argument}: expected one of {names}, got {path!r}{nearest(str(path), known)}")
    return known[path]


def is_text(column: Column) -> bool:
    return column.dtype.kind in "OSU"


def is_image(feature: Any) -> bool:
    """Whether decoding it takes pillow: an image, or a sequence of images."""
    tfds = need("tensorflow_datasets", "tfds")
    while isinstance(feature, tfds.features.Sequence):
        feature = feature.feature
    return isinstance(feature, tfds.features.Image | tfds.features.Video)


def num_classes(feature: Any) -> int:
    """The classes of a label, 0 if it is none."""
    tfds = need("tensorflow_datasets", "tfds")
    return feature.num_classes or 0 if isinstance(feature, tfds.features.ClassLabel) else 0


def stacked(column: Column, name: str, values: Any, begin: int) -> np.ndarray:
    """[row, ...] in the feature's dtype. begin: the first row's number, for the message.

    Raises PflError for missing values and for labels outside their classes, -1 included.
    """
    shape = column.feature.shape
    try:
        array = np.asarray(values, dtype=column.dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise PflError(f"array {name!r}: expected {column.dtype}{_shown(shape)} in every row, got {error}") from error
    if array.shape[1:] != shape:
        raise PflError(f"array {name!r}: expected shape {_shown(shape)} in every row, got {_shown(array.shape[1:])}")
    if classes := num_classes(column.feature):
        outside = (array < 0) | (array >= classes)
        if outside.any():
            row = int(np.argmax(outside))
            raise PflError(
                f"array {name!r}: expected classes from 0 to {classes - 1} in {column.path!r}, got {array[row]} in row "
                f"{begin + row}; choose a split that has labels"
            )
    return array


def texts(column: Column, argument: str, raw: Sequence[Any]) -> list[str]:
    """Key values as text: bytes by UTF-8, classes by name. Raises PflError for what is none of these."""
    classes = num_classes(column.feature)
    names = column.feature.names if classes else []
    made = []
    for value in raw:
        if value is None:
            raise PflError(f"{argument}: expected a value in every row of {column.path!r}, got none; drop these rows")
        if classes:
            if not 0 <= value < classes:
                raise PflError(f"{argument}: expected classes from 0 to {classes - 1} in {column.path!r}, got {value}")
            made.append(names[value])
        elif isinstance(value, bytes):
            try:
                made.append(value.decode())
            except UnicodeDecodeError as error:
                raise PflError(f"{argument}: expected UTF-8 text in {column.path!r}, got {value[:40]!r}") from error
        else:
            made.append(str(value))
    return made


def _within(row: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        row = row[key]
    return row


def _obstacle(column: Column) -> str:
    """Why a feature can be no array, or the empty string."""
    shape, dtypes = column.feature.shape, column.feature.np_dtype
    if not isinstance(shape, tuple) or isinstance(dtypes, dict):
        return "is a sequence of several features"
    if is_text(column):
        return "holds text, which can only name clients"
    if column.dtype.kind not in "fiub" or column.dtype.itemsize > 8:
        return f"holds {column.dtype}"
    if None in shape:
        return f"has the shape {_shown(shape)}; resize or pad it at preparation"
    return ""


def _shown(shape: tuple) -> str:
    return f"[{', '.join(str(size) for size in shape)}]"
