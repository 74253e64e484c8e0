"""Characters as examples: what text populations share."""

import numpy as np

from pfljax.data.embedded.runs import ranges

BOUNDARY = 0  # ends every string and pads contexts
OTHER = 1  # any character outside the vocabulary


def cut(rows: np.ndarray) -> np.ndarray:
    """[2] int64: the entry borders nearest to 60 % and 80 % of the rows that leave every split an entry."""
    after = np.cumsum(rows)
    first = int(np.argmin(np.abs(10 * after[:-2] - 6 * after[-1])))
    second = first + 1 + int(np.argmin(np.abs(10 * after[first + 1 : -1] - 8 * after[-1])))
    return after[[first, second]]


def next_symbols(
    tokens: np.ndarray, begin: np.ndarray, lengths: np.ndarray, context: int
) -> tuple[np.ndarray, np.ndarray]:
    """(x: [example, context], y: [example]) uint8 of some strings; each gives its length + 1 examples."""
    ends = np.cumsum(lengths + 1) - 1
    y = np.zeros(int((lengths + 1).sum()), dtype=np.uint8)
    inside = np.ones(len(y), dtype=bool)
    inside[ends] = False
    y[inside] = tokens[ranges(begin, lengths)]
    position = ranges(np.zeros_like(lengths), lengths + 1)  # [example] counted from the start of its string
    x = np.zeros((len(y), context), dtype=np.uint8)
    for back in range(1, min(context, int(lengths.max())) + 1):
        x[back:, context - back] = np.where(position[back:] >= back, y[:-back], BOUNDARY)
    return x, y
