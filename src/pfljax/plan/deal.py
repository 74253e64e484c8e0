"""Which device trains whom, and in which chunk."""

import heapq
from typing import NamedTuple

import numpy as np


class Dealt(NamedTuple):
    """Where each client of a cohort stands. All [cohort] int; `order` holds positions in the cohort."""

    order: np.ndarray
    device: np.ndarray
    chunk: np.ndarray
    lane: np.ndarray


def deal(cost: np.ndarray, num_devices: int, width: int, capacity: int) -> Dealt:
    """Deals a cohort out to devices in chunks of `width` clients, so that devices finish together.

    cost: [cohort] int, what each client takes. Chunks are cut from the cohort in falling order of cost, for a
    chunk takes as long as its longest member, and go to the least loaded device that has room (longest
    processing time first, Graham 1969). No device gets more than `capacity` chunks.
    """
    order = np.argsort(-cost, kind="stable")
    longest = cost[order[::width]]  # of each chunk: its first member, for the order falls
    device, num_chunks = _least_loaded(longest, num_devices, capacity), len(longest)
    # A chunk's number on its device: how many chunks that device got before.
    by_device = np.argsort(device, kind="stable")
    first = np.searchsorted(device[by_device], np.arange(num_devices))
    chunk = np.empty(num_chunks, np.int64)
    chunk[by_device] = np.arange(num_chunks) - first[device[by_device]]
    of = np.arange(len(order)) // width
    return Dealt(order, device[of], chunk[of], np.arange(len(order)) % width)


def capacity(cohort: int, num_devices: int, width: int) -> int:
    """Chunks that one device has room for: twice its share, so that long clients can be balanced by short ones."""
    num_chunks = -(-cohort // width)
    return min(num_chunks, 2 * -(-num_chunks // num_devices))


def at_home(dealt: Dealt, cost: np.ndarray, home: np.ndarray, num_devices: int) -> Dealt:
    """The same places, given to clients of the same cost so that as many as can stand on the device that is their home.

    home: [cohort] int, the device that keeps each client's state. Those of a device that find no place on it are
    dealt out over the others in turn, so that few go from any one to any other.
    """
    order, device = dealt.order, dealt.device
    group = np.cumsum(np.diff(cost[order], prepend=cost[order[:1]]) != 0)  # of equal cost
    of_place, of_client = group * num_devices + device, group * num_devices + home[order]
    rank_of_place, rank_of_client = rank(of_place), rank(of_client)
    tag = lambda key, rank: key * len(order) + rank
    _, place, client = np.intersect1d(
        tag(of_place, rank_of_place), tag(of_client, rank_of_client), assume_unique=True, return_indices=True
    )
    left = lambda taken: np.setdiff1d(np.arange(len(order)), taken, assume_unique=True)
    places, clients = left(place), left(client)
    places = places[np.lexsort((device[places], rank_of_place[places], group[places]))]
    clients = clients[np.argsort(of_client[clients], kind="stable")]
    new = np.empty_like(order)
    new[place], new[places] = order[client], order[clients]
    return dealt._replace(order=new)


def rank(key: np.ndarray) -> np.ndarray:
    """How many equal keys come before each."""
    order = np.argsort(key, kind="stable")
    ordered, before = key[order], np.empty(len(key), np.int64)
    before[order] = np.arange(len(key)) - np.searchsorted(ordered, ordered)
    return before


def _least_loaded(longest: np.ndarray, num_devices: int, capacity: int) -> np.ndarray:
    """[chunk]: the device that each chunk goes to. longest: [chunk], falling."""
    if num_devices == 1 or longest[0] == longest[-1]:  # in turn: what the loop below does with equal costs
        return np.arange(len(longest)) % num_devices
    device, counts = np.empty(len(longest), np.int64), [0] * num_devices
    loads = [(0, 0, each) for each in range(num_devices)]
    for chunk, cost in enumerate(longest.tolist()):
        load, _, least = loads[0]
        device[chunk] = least
        counts[least] += 1
        if counts[least] < capacity:
            heapq.heapreplace(loads, (load + cost, counts[least], least))
        else:
            heapq.heappop(loads)
    return device
