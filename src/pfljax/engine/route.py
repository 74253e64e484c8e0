"""Which rows of kept state travel between which devices, worked out on the host from the plan."""

import math
from typing import Any, NamedTuple

import numpy as np

from pfljax.plan.deal import rank

Grid = tuple[int, ...]
DIRECT = 8  # devices among which rows travel in one hop


class Route(NamedTuple):
    """One round's way on one device, or [round, device, ...] of a block's; past the end where there is no row.

    home:   [slot] int32: the client here of each slot; past the end where it is kept on another device
    sent:   for each hop [peer * row] int32: what goes to each peer, of the rows here, or of what the hop before brought
    wanted: [peer * row] int32: the slots here that get what the last hop brings; () without hops
    """

    home: Any
    sent: tuple
    wanted: Any


def grid(num_devices: int) -> Grid:
    """The hops between devices: one among all of them, or for many one along the rows of a grid, then one along its
    columns. There are places for as many rows between any two peers as the busiest two need, which are mostly
    padding where peers are many.
    """
    if num_devices == 1:
        return ()
    side = max(each for each in range(1, math.isqrt(num_devices) + 1) if num_devices % each == 0)
    return (num_devices,) if num_devices <= DIRECT or side == 1 else (side, num_devices // side)


def peers(grid: Grid, hop: int) -> list[list[int]]:
    """The devices that exchange rows in a hop. The first hop is along the grid's last axis."""
    axis = len(grid) - 1 - hop
    return np.moveaxis(np.arange(math.prod(grid)).reshape(grid), axis, -1).reshape(-1, grid[axis]).tolist()


def num_peers(grid: Grid, hop: int) -> int:
    """How many a device has in a hop: in a square it is its own peer too, for rows that need the other hop alone."""
    return 1 if grid == (2,) else grid[-1 - hop]


def route(place: np.ndarray, mask: np.ndarray, num_here: int, grid: Grid, rooms: tuple[int, ...]) -> Route:
    """The ways of the rows of all slots. place: [round, device, slot] int, rows of [device * num_here]; mask: alike

    rooms: rows that can go from one device to a peer in each hop, at least 1 and at least `busiest`
    """
    num_rounds, num_devices, num_slots = place.shape
    if not grid:
        return Route(place.astype(np.int32), (), ())
    is_home = mask & (place // num_here == np.arange(num_devices)[:, None])
    home = np.where(is_home, place % num_here, num_here).astype(np.int32)
    (round, device, slot), hops = _moves(place, mask, num_here, grid)
    empty = lambda hop, end: np.full((num_rounds, num_devices, num_peers(grid, hop), rooms[hop]), end, np.int32)
    sent, lies, end = [], place[round, device, slot] % num_here, num_here
    for hop, (at, origin, target, before) in enumerate(hops):
        sent.append(empty(hop, end))
        only = num_peers(grid, hop) == 1
        sent[-1][round, at, 0 if only else target, before] = lies
        lies = before if only else origin * rooms[hop] + before  # where it comes to lie
        end = num_peers(grid, hop) * rooms[hop]
    wanted = empty(len(grid) - 1, num_slots)
    wanted.reshape(num_rounds, num_devices, -1)[round, device, lies] = slot
    flat = lambda part: part.reshape(num_rounds, num_devices, -1)
    return Route(home, tuple(map(flat, sent)), flat(wanted))


def busiest(place: np.ndarray, mask: np.ndarray, num_here: int, grid: Grid) -> tuple[int, ...]:
    """For each hop the most rows that go from one device to a peer in one round."""
    _, hops = _moves(place, mask, num_here, grid)
    return tuple(int(before.max(initial=-1)) + 1 for *_, before in hops)


def _moves(place: np.ndarray, mask: np.ndarray, num_here: int, grid: Grid):
    """((round, device, slot) of each row that travels, for each hop (the device that it leaves, that one's number
    among its peers, the number of the peer that it goes to, how many go that way before it)).
    """
    round, device, slot = np.nonzero(mask)
    at = place[round, device, slot] // num_here
    is_away = at != device
    round, device, slot, at = (each[is_away] for each in (round, device, slot, at))
    hops = []
    for hop in range(len(grid)):
        stride, size = math.prod(grid[len(grid) - hop :]), grid[-1 - hop]
        origin, target = at // stride % size, device // stride % size
        before = rank((round * math.prod(grid) + at) * size + target)
        hops.append((at, origin, target, before))
        at = at + (target - origin) * stride
    return (round, device, slot), hops
