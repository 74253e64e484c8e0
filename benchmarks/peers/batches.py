"""Batches drawn on the host, for contestants that want a round's rows as one rectangle."""

import numpy as np

from peers.work import Work


def rectangle(work: Work, cohort: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(row, mask): [place, step, batch] int32 and bool, one shuffled epoch of every client in the cohort.

    Padded to the next power of two of the longest client's steps where they differ, so that few shapes compile.
    """
    sizes = work.sizes[cohort]
    longest = int(-(-sizes.max() // work.batch))
    if work.sizes.min() != work.sizes.max():
        longest = 1 << (longest - 1).bit_length()
    places = np.arange(longest * work.batch)
    mask = places < sizes[:, None]
    # Sorting random numbers shuffles; what is past a client's size sorts last.
    order = np.argsort(np.where(mask, random.random(mask.shape), 2.0), axis=1)
    row = work.offsets[cohort][:, None] + np.where(mask, order, 0)
    shape = (len(cohort), longest, work.batch)
    return row.astype(np.int32).reshape(shape), mask.reshape(shape)
