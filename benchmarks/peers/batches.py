"""Batches drawn on the host, for contestants that want a round's rows as one rectangle."""

import numpy as np

from peers.work import Work


def rectangle(work: Work, cohort: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(row, mask): [place, step, batch] int32 and bool, one shuffled epoch of every client in the cohort.

    Padded to the first of `lengths` that holds the longest client.
    """
    sizes = work.sizes[cohort]
    longest = next(length for length in lengths(work) if length * work.batch >= sizes.max())
    places = np.arange(longest * work.batch)
    mask = places < sizes[:, None]
    # Sorting random numbers shuffles; what is past a client's size sorts last.
    order = np.argsort(np.where(mask, random.random(mask.shape), 2.0), axis=1)
    row = work.offsets[cohort][:, None] + np.where(mask, order, 0)
    shape = (len(cohort), longest, work.batch)
    return row.astype(np.int32).reshape(shape), mask.reshape(shape)


def lengths(work: Work) -> list[int]:
    """The numbers of steps that rectangles have: powers of two where clients differ, so that few shapes compile."""
    longest = int(-(-work.sizes.max() // work.batch))
    if work.sizes.min() == work.sizes.max():
        return [longest]
    return [1 << power for power in range((longest - 1).bit_length() + 1)]


def empty(work: Work) -> list[tuple[np.ndarray, np.ndarray]]:
    """A rectangle of nothing for each of `lengths`: to compile with, before anything is timed."""
    shapes = [(work.schedule.shape[1], length, work.batch) for length in lengths(work)]
    return [(np.zeros(shape, np.int32), np.zeros(shape, bool)) for shape in shapes]
