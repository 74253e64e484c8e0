"""Consecutive runs in flat arrays."""

from typing import Any

import numpy as np


def edges(counts: Any) -> np.ndarray:
    """[item + 1] int64: where each of several consecutive runs begins, and the end."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def ranges(begin: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """begin[0], begin[0] + 1, ... for counts[0] items, then from begin[1], and so on: [sum of counts] int64."""
    return np.arange(int(counts.sum())) + np.repeat(begin - edges(counts)[:-1], counts)
