"""Kept state travels to whoever trains it and back, whatever rows are wanted where: against plain indexing."""

import jax
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

from pfljax.engine.devices import AXIS
from pfljax.engine.exchange import fetch, store

NUM_HERE, SLOTS = 5, 7  # rows of state and slots on a device


def exchanged(state, row, kept, new, num_devices):
    """(what each slot gets, the state afterwards)"""

    def there_and_back(state, row, kept, new):
        return fetch(state, row, num_devices), store(state, row, kept, new, num_devices)

    mesh, here = Mesh(np.array(jax.devices()[:num_devices]), (AXIS,)), PartitionSpec(AXIS)
    mapped = jax.shard_map(there_and_back, mesh=mesh, in_specs=(here,) * 4, out_specs=here, check_vma=False)
    return jax.jit(mapped)(state, row, kept, new)


def rows_of(case: str, num_devices: int, generator) -> np.ndarray:
    everybody = generator.permutation(NUM_HERE * num_devices)
    return {
        "few": everybody[: 2 * num_devices],
        "all": everybody,
        "of one device": generator.permutation(NUM_HERE),
        "none": everybody[:0],
    }[case]


@pytest.mark.parametrize("num_devices", [1, 2, 3, 8])
@pytest.mark.parametrize("case", ["few", "all", "of one device", "none"])
def test_every_slot_gets_its_row_and_every_row_what_its_slot_kept(case, num_devices):
    generator = np.random.default_rng(num_devices)
    total, slots = NUM_HERE * num_devices, SLOTS * num_devices

    def values(size):
        return {
            "w": generator.normal(size=(size, 3)).astype(np.float32),
            "flag": generator.random(size) < 0.5,
            "count": generator.integers(9, size=size, dtype=np.int32),
        }

    state, new = values(total), values(slots)
    row, mask = np.zeros(slots, np.int32), np.zeros(slots, bool)
    wanted = rows_of(case, num_devices, generator)
    place = generator.permutation(slots)[: len(wanted)]
    if case == "of one device":
        place = np.arange(len(wanted))  # and all of them go to one device
    row[place], mask[place] = wanted, True
    kept = mask & (generator.random(slots) < 0.7)

    mine, after = exchanged(state, row, kept, new, num_devices)
    for name, before in state.items():
        np.testing.assert_array_equal(np.asarray(mine[name])[mask], before[row[mask]])
        expected = before.copy()
        expected[row[kept]] = new[name][kept]
        np.testing.assert_array_equal(after[name], expected)
