"""What importers of a train and a test file must give, by plain loops; and how they must refuse."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pfljax import keys
from pfljax.data.population import Population
from pfljax.errors import PflError

Rows = dict[str, np.ndarray]  # {name: [row, ...]}
SPLITS = ("train", "validation", "test")


def expected(
    train: dict[str, Rows], test: dict[str, Rows] | None, split=(0.6, 0.2, 0.2), seed: int | None = 0
) -> dict[str, dict[str, Rows]]:
    """{client: {split: rows}} where lone clients are cut by all three shares."""
    made = {}
    for client in [*train, *(client for client in test or {} if client not in train)]:
        first, second = (side.get(client) for side in (train, test or {}))
        first, second = (
            None if rows is None or not len(next(iter(rows.values()))) else rows for rows in (first, second)
        )
        if first is None or second is None:
            alone = Population.from_clients({client: first or second}, split, seed)
            made[client] = {name: alone.client(client, name) for name in SPLITS}
            continue
        num = len(next(iter(first.values())))
        order = range(num) if seed is None else keys.host(seed, client).permutation(num)
        num_train = min(num, max(1, round(num * round(split[0] / (split[0] + split[1]), 9))))
        parts = {"train": order[:num_train], "validation": order[num_train:]}
        made[client] = {name: {key: array[list(rows)] for key, array in first.items()} for name, rows in parts.items()}
        made[client]["test"] = second
    return made


def assert_holds(population: Population, clients: dict[str, dict[str, Rows]]) -> None:
    """The same clients in the same order with the same rows and dtypes in every split."""
    assert population.ids == tuple(clients)
    for client, splits in clients.items():
        for split, rows in splits.items():
            found = population.client(client, split)
            assert set(found) == set(rows)
            for name, array in rows.items():
                assert found[name].dtype == array.dtype, (client, split, name)
                np.testing.assert_array_equal(found[name], array, err_msg=f"{client} {split} {name}")


def refusal(make: Callable[..., Any], *arguments: Any, **options: Any) -> str:
    """The message of the PflError that the call must raise; it has to say what was expected and what came."""
    with pytest.raises(PflError) as error:
        make(*arguments, **options)
    assert re.search(r"expected .+ got .+", str(error.value), re.DOTALL), str(error.value)
    return str(error.value)
