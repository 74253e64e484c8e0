"""What partitioners share: checks at the door, shares and how they become whole numbers, clients that are too small."""

import numpy as np

from pfljax.data.partition.record import group
from pfljax.errors import PflError, between, whole


def numbered(num_clients: int) -> tuple[str, ...]:
    """The ids of clients that have no name: "0", "1", ..."""
    return tuple(map(str, range(num_clients)))


def check(num_rows: int, num_clients: int, min_size: int, rows_each: int = 0, name: str = "num_clients") -> None:
    """Raises PflError, with the numbers, unless every client can have `min_size` rows (or `rows_each`, if more)."""
    whole(name, num_clients)
    each = max(whole("min_size", min_size), rows_each)
    if num_clients * each > num_rows:
        raise PflError(
            f"{name}: expected at most {num_rows // each}, for {num_rows} rows and at least {each} a client, "
            f"got {num_clients}; ask for fewer clients or a smaller min_size"
        )


def number(name: str, value: float, least: float, most: float) -> float:
    """`value` as a float. Raises PflError unless it is a number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise PflError(f"{name}: expected a number from {least} to {most}, got {value!r}")
    between(name, float(value), least, most)
    return float(value)


def concentration(name: str, value: float) -> float:
    """The concentration of a Dirichlet distribution. Outside of these bounds, logarithms of shares would overflow."""
    return number(name, value, 1e-100, 1e100)


def log_gamma(generator: np.random.Generator, shape: np.ndarray) -> np.ndarray:
    """Logarithms of Gamma(shape) draws, which are finite where the draws themselves are 0 for small shapes.

    Gamma(a) is Gamma(a + 1) * U^(1/a). Normalized, the draws are a Dirichlet's shares.
    """
    return np.log(generator.standard_gamma(shape + 1)) + np.log1p(-generator.random(shape.shape)) / shape


def shares(logs: np.ndarray) -> np.ndarray:
    """[...] numbers that sum to 1 over the last axis, proportional to exp(logs); -inf is 0."""
    weights = np.exp(logs - logs.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def whole_counts(parts: np.ndarray, total: int) -> np.ndarray:
    """[part] int64 that sum to `total`, each within 1 of its share of it: a line of that length is cut."""
    cuts = np.minimum(np.rint(np.cumsum(parts) * total), total).astype(np.int64)
    cuts[-1] = total
    return np.diff(cuts, prepend=0)


def equal_sizes(num_rows: int, num_clients: int) -> np.ndarray:
    """[client] int64 that sum to `num_rows`; the first ones have one more where it does not divide."""
    return num_rows // num_clients + (np.arange(num_clients) < num_rows % num_clients).astype(np.int64)


def skewed_sizes(logs: np.ndarray, num_rows: int, min_size: int) -> np.ndarray:
    """[client] int64 that sum to `num_rows`, proportional to exp(logs) but for those raised to `min_size`."""
    sizes = whole_counts(shares(logs), num_rows)
    given, missing = moves(sizes, min_size)
    return sizes - given + missing


def moves(sizes: np.ndarray, min_size: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows to give, rows to receive), each [client] int64, after which every client has `min_size` rows.

    The largest clients give, down to one common level, so none falls below any that gives nothing.
    """
    missing = np.maximum(min_size - sizes, 0)
    total, low, high = int(missing.sum()), min_size, int(sizes.max())
    if not total:
        return np.zeros_like(sizes), missing
    while low < high:  # the highest level above which there are enough rows
        level = (low + high + 1) // 2
        low, high = (level, high) if np.maximum(sizes - level, 0).sum() >= total else (low, level - 1)
    given = np.maximum(sizes - low, 0)
    surplus = int(given.sum()) - total
    given[np.flatnonzero(given)[:surplus]] -= 1
    return given, missing


def fill(owner: np.ndarray, num_clients: int, min_size: int) -> np.ndarray:
    """[row] int64: owners after rows have moved from the largest clients to those with fewer than `min_size`.

    owner: [row] in the order of labels. A client gives every so many of its rows in that order, so its mix of labels
    stays what it was.
    """
    sizes = np.bincount(owner, minlength=num_clients)
    given, missing = moves(sizes, min_size)
    if not missing.any():
        return owner
    order, offsets = group(owner, num_clients)
    size, give = np.repeat(sizes, sizes), np.repeat(given, sizes)
    rank = np.arange(len(owner)) - np.repeat(offsets[:-1], sizes)
    owner = owner.copy()
    owner[order[(rank + 1) * give // size > rank * give // size]] = np.repeat(np.arange(num_clients), missing)
    return owner


def shuffled(codes: np.ndarray, num_labels: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """([row] rows by label, each label's in random order, [label + 1] where each label begins)."""
    rows = generator.permutation(len(codes))
    order, offsets = group(codes[rows], num_labels)
    return rows[order], offsets


def in_source_order(rows: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """[row] int64: the owner of every row of the source, from the owners of `rows`."""
    owner = np.empty_like(owners)
    owner[rows] = owners
    return owner
