"""What generators share: their result, their stream of random numbers, clients of equally many rows."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from pfljax import keys
from pfljax.data.population import About, Population
from pfljax.errors import PflError, whole

Counts = tuple[int, int, int]


class Generated(NamedTuple):
    """A population and what it was made from: {name: array}, float64 or int64, with axes as the generator says."""

    population: Population
    truth: Mapping[str, np.ndarray]


def stream(seed: int | np.random.Generator, name: str) -> np.random.Generator:
    """The random numbers of one generator. A numpy Generator is taken as it is and moves on."""
    return seed if isinstance(seed, np.random.Generator) else keys.host(whole("seed", seed, 0), name)


def counts(num_rows: Counts) -> Counts:
    """The rows of each client for train (at least one), validation and test. Raises PflError for what are none."""
    if not isinstance(num_rows, tuple | list) or len(num_rows) != 3:
        raise PflError(f"num_rows: expected three numbers, for train, validation and test, got {num_rows!r}")
    train, validation, test = (
        whole(f"num_rows for {split}", number, least)
        for split, number, least in zip(("train", "validation", "test"), num_rows, (1, 0, 0), strict=True)
    )
    return train, validation, test


def equal_clients(arrays: Mapping[str, np.ndarray], num_rows: Counts, prefix: str, about: About) -> Population:
    """Clients `prefix`0, 1, ... of {name: [client, row, ...]}, which are independent draws: nothing to shuffle."""
    train, validation, test = num_rows
    num_clients = len(next(iter(arrays.values())))
    return Population(
        arrays={name: array.reshape(-1, *array.shape[2:]) for name, array in arrays.items()},
        offsets=np.arange(num_clients + 1) * (train + validation + test),
        bounds=np.tile([train, train + validation], (num_clients, 1)),
        ids=tuple(f"{prefix}{index}" for index in range(num_clients)),
        about=about,
    )


def about(name: str, task: str, num_classes: int = 0) -> About:
    return About(name, task, num_classes, source="generated", licence="no data of anybody's")
