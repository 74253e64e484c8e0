"""Which rows of kept state travel between which devices, worked out on the host from the plan."""

from typing import Any, NamedTuple

import numpy as np

SLACK = 0.25  # of rows between two devices, for rounds that need more than the first


class Route(NamedTuple):
    """One round's way on one device, or [round, device, ...] of a block's; past the end where there is no row.

    owned:  [other * row] int32: the rows here that each device trains
    wanted: [other * row] int32: the slots here whose rows each device owns, in the order that they have there
    On a single device wanted is () and owned is [slot], each slot's row.
    """

    owned: Any
    wanted: Any


def route(place: np.ndarray, mask: np.ndarray, num_here: int, room: int) -> Route:
    """The ways of the rows of all slots. place: [round, device, slot] int, rows of [device * num_here]; mask: alike

    room: rows that can go from one device to another in a round, at least 1 and at least `busiest`
    """
    num_rounds, num_devices, _ = place.shape
    if num_devices == 1:
        return Route(place.astype(np.int32), ())
    shape = (num_rounds, num_devices, num_devices, room)
    owned, wanted = np.full(shape, num_here, np.int32), np.full(shape, place.shape[2], np.int32)
    round, device, slot, owner, rank = _pairs(place, mask, num_here)
    owned[round, owner, device, rank] = place[round, device, slot] % num_here
    wanted[round, device, owner, rank] = slot
    return Route(*(each.reshape(num_rounds, num_devices, -1) for each in (owned, wanted)))


def busiest(place: np.ndarray, mask: np.ndarray, num_here: int) -> int:
    """The most rows that go from one device to another in one round."""
    *_, rank = _pairs(place, mask, num_here)
    return int(rank.max(initial=-1)) + 1


def _pairs(place: np.ndarray, mask: np.ndarray, num_here: int) -> tuple[np.ndarray, ...]:
    """(round, device, slot, the device that owns its row, how many such come before it) of every slot in use."""
    num_devices = place.shape[1]
    round, device, slot = np.nonzero(mask)
    owner = place[round, device, slot] // num_here
    pair = (round * num_devices + device) * num_devices + owner
    order = np.argsort(pair, kind="stable")
    ordered = pair[order]
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) - np.searchsorted(ordered, ordered)
    return round, device, slot, owner, rank
