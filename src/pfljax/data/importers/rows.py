"""`Rows`: columns of one length, whose rows they are, and where a value stands, for messages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pfljax.data.importers.read import Column, column
from pfljax.errors import PflError

FLOATS = {"halffloat": "float16", "float": "float32", "double": "float64"}  # pyarrow's names and numpy's


@dataclass(frozen=True)
class Rows:
    """Columns of one length, and whose rows they are.

    codes: [row] int64, the client (rising, where there is a file for each); ids: [client]
    files: a name for all clients, or one for each
    """

    columns: Mapping[str, Column]
    codes: np.ndarray
    ids: tuple[str, ...]
    files: tuple[str, ...]

    def at(self, name: str, row: int) -> str:
        """Where a value stands, rows counted from 0: "ehr.csv, column 'age', row 3, client 'ada'"."""
        client = int(self.codes[row])
        if len(self.files) == 1:
            return f"{self.files[0]}, column {name!r}, row {row}, client {self.ids[client]!r}"
        row -= int(np.searchsorted(self.codes, client))
        return f"{self.files[client]}, column {name!r}, row {row}, client {self.ids[client]!r}"


def join(name: str, parts: Sequence[Column], files: Sequence[str]) -> Column:
    """One column of the parts that each client has. Raises PflError for two that differ in dtype or shape.

    Columns of files that know no types (csv) may be whole numbers here, floats there, and empty elsewhere.
    """
    import pyarrow as pa

    kinds = [_kind(part) for part in parts]
    known = [kind for kind in kinds if kind != "null"]
    if len(set(known)) > 1 and set(known) != {"int64", "float64"}:
        odd = next(index for index, kind in enumerate(kinds) if kind not in ("null", known[0]))
        usual = files[kinds.index(known[0])]
        raise PflError(
            f"{files[odd]}, column {name!r}: expected {known[0]} as in {usual}, got {kinds[odd]}; cast or reshape it"
        )
    if isinstance(parts[0], np.ndarray):
        return column(f"column {name!r}", np.concatenate(parts))
    kind = parts[kinds.index("float64" if "float64" in kinds else known[0] if known else "null")].type
    return pa.chunked_array([chunk for part in parts for chunk in part.cast(kind).chunks], kind)


def _kind(part: Any) -> str:
    if not isinstance(part, np.ndarray):
        return FLOATS.get(str(part.type), str(part.type))
    return f"{part.dtype.kind if part.dtype.kind in 'US' else part.dtype}{list(part.shape[1:])}"
