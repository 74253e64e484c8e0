"""Cuts every client's rows into train, validation and test."""

import numpy as np

from pfljax import keys
from pfljax.errors import PflError

Shares = tuple[float, float, float]


def check(split: Shares, seed: int | None) -> np.ndarray:
    """[3] float: the shares of train, validation and test. Raises PflError for what are none, or for a bad seed."""
    try:
        shares = np.asarray(split, dtype=float)
    except (TypeError, ValueError) as error:
        raise PflError(f"split: expected three shares that sum to 1, got {split!r}") from error
    if shares.shape != (3,) or not ((shares >= 0).all() and abs(shares.sum() - 1) <= 1e-6 and shares[0] > 0):
        raise PflError(f"split: expected three shares that sum to 1 with a positive train share, got {split}")
    if seed is not None and not (isinstance(seed, int | np.integer) and seed >= 0):
        raise PflError(f"seed: expected a whole number of at least 0, or None for no shuffling, got {seed}")
    return shares


def bounds(ids: tuple[str, ...], counts: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """[client, 2] int64: where validation and test begin, counted from each client's first row.

    Every client keeps at least one train row, and one test row if the test share is positive.
    Raises PflError, naming the client, for one that has too few rows.
    """
    needed = 1 + int(shares[2] > 0)
    if (few := counts < needed).any():
        bad = int(np.argmax(few))
        wanted, have = ("train and test" if needed == 2 else "train"), {0: "none", 1: "1"}[int(counts[bad])]
        raise PflError(
            f"client {ids[bad]!r}: expected at least {needed} examples ({wanted}), got {have}; "
            "leave the client out or merge it with another"
        )
    test = np.minimum(np.maximum(np.rint(counts * shares[2]), int(shares[2] > 0)), counts - 1)
    train = np.minimum(np.maximum(np.rint(counts * shares[0]), 1), counts - test)
    validation = counts - test - train if shares[1] > 0 else np.zeros_like(test)
    return np.stack([counts - test - validation, counts - test], axis=1).astype(np.int64)


def order(ids: tuple[str, ...], offsets: np.ndarray, seed: int) -> np.ndarray:
    """[row] int64: every client's rows shuffled among themselves, by the seed and the client's id alone."""
    rows = np.empty(int(offsets[-1]), np.int64)
    for name, begin, end in zip(ids, offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        rows[begin:end] = begin + keys.host(seed, name).permutation(end - begin)
    return rows
