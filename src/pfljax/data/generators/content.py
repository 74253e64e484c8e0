"""What stands in for real images and texts: made in chunks with streams of their own, so the same on any machine."""

from collections.abc import Iterator

import numpy as np

from pfljax import keys
from pfljax.data.embedded.text import BOUNDARY, OTHER
from pfljax.data.memory import empty

CHUNK = 2**25  # bytes made at a time
SLOTS = 2**16  # places on a ring on which frequent words have many


def images(name: str, seed: int, labels: np.ndarray, num_classes: int, shape: tuple[int, int, int]) -> np.ndarray:
    """[row, height, width, channel] uint8: a pattern of the class, 4 x 4 blocks of 0 to 127, and as much noise."""
    height, width, channels = shape
    blocks = keys.host(seed, f"{name} classes").integers(
        0, 128, (num_classes, height // 4, width // 4, channels), dtype=np.uint8
    )
    patterns = blocks.repeat(4, axis=1).repeat(4, axis=2).reshape(num_classes, -1)
    pixels = patterns.shape[1]
    made, step = empty((len(labels), pixels), np.dtype(np.uint8)), CHUNK // pixels
    for chunk, begin in enumerate(range(0, len(labels), step)):
        part = made[begin : begin + step]
        words = keys.host(seed, f"{name} noise", chunk).integers(0, 2**64, -(-part.size // 8), dtype=np.uint64)
        noise = words.astype("<u8", copy=False).view(np.uint8)[: part.size].reshape(part.shape)
        np.right_shift(noise, 1, out=part)
        part += patterns[labels[begin : begin + step]]
    return made.reshape(-1, *shape)


def text(name: str, seed: int, offsets: np.ndarray, num_symbols: int) -> np.ndarray:
    """[character] uint8, from 2 to num_symbols - 1: mostly, what a client has after a symbol is a fixed one (4 of 5).

    Which one it is, is one of four ways, by client. offsets: [client + 1].
    """
    generator, total = keys.host(seed, f"{name} text"), int(offsets[-1])
    is_new = generator.integers(0, 5, total, dtype=np.uint8) == 0
    is_new[offsets[:-1][np.diff(offsets) > 0]] = True
    position = np.arange(total)
    begun = np.maximum.accumulate(np.where(is_new, position, 0))
    ways = np.array([1, 3, 5, 7])[generator.integers(0, 4, len(offsets) - 1)]
    known = num_symbols - OTHER - 1
    begin = generator.integers(0, known, total, dtype=np.uint8)
    follow = (begin[begun] + (position - begun) * np.repeat(ways, np.diff(offsets))) % known
    return (OTHER + 1 + follow).astype(np.uint8)


def sentences(name: str, seed: int, offsets: np.ndarray, num_words: int, length: int) -> Iterator[np.ndarray]:
    """Chunks of [row, 1 + length] int16: BOUNDARY, then words by Zipf's law, each of which points to the next.

    A sentence walks a ring of SLOTS with steps of the client's own kind (of eight), from a start of its own. The word
    of rank r has slots in proportion to 1 / r (the rarest have none), and the number OTHER + r. offsets: [client + 1].
    """
    share = np.cumsum(1 / np.arange(1, num_words + 1))
    rank = np.searchsorted(share / share[-1], (np.arange(SLOTS) + 0.5) / SLOTS)
    words = (OTHER + 1 + keys.host(seed, f"{name} ring").permutation(rank)).astype(np.int16)
    generator = keys.host(seed, f"{name} steps")
    steps = generator.integers(1, SLOTS, 8, dtype=np.uint16)[generator.integers(0, 8, len(offsets) - 1)]
    place, step = np.arange(length, dtype=np.uint16), CHUNK // (2 * length)
    for chunk, begin in enumerate(range(0, int(offsets[-1]), step)):
        rows = np.arange(begin, min(begin + step, int(offsets[-1])))
        start = keys.host(seed, f"{name} starts", chunk).integers(0, SLOTS, len(rows), dtype=np.uint16)
        client = np.searchsorted(offsets, rows, side="right") - 1
        part = np.full((len(rows), 1 + length), BOUNDARY, np.int16)
        part[:, 1:] = words[start[:, None] + steps[client][:, None] * place]  # uint16 wraps: a ring
        yield part
