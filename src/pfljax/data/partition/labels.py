"""Partitions by label: Dirichlet shares, sorted shards, a fixed number of classes for each client."""

from itertools import pairwise

import numpy as np

from pfljax import keys
from pfljax.data.partition import basis, dealing
from pfljax.data.partition.record import Partition, by_owner, group
from pfljax.errors import PflError, whole


def dirichlet(labels: np.ndarray, num_clients: int, alpha: float, *, min_size: int = 2, seed: int = 0) -> Partition:
    """Each label's rows are shared out by a draw from Dirichlet(alpha, ..., alpha) over clients; sizes differ too.

    Yurochkin et al., "Bayesian Nonparametric Federated Learning of Neural Networks", ICML 2019. A small alpha gives
    each label to one client, a large one gives all clients the mix of the whole. Where they draw again until everybody
    has enough, here the largest clients give rows, each of its own mix, to those with fewer than `min_size`.
    For clients of equal sizes see `mixtures`.

    labels: [row] whole numbers. Time and memory: rows + labels * clients, and rows + clients.
    Raises PflError for labels that are none, alpha outside 1e-100 to 1e100, more clients than rows / min_size.

    >>> dirichlet(np.arange(1000) % 10, 20, alpha=0.1).num_clients
    20
    """
    codes, num_labels = basis.labels(labels)
    dealing.check(len(codes), num_clients, min_size)
    alpha = dealing.concentration("alpha", alpha)
    generator = keys.host(whole("seed", seed, 0), "partition/dirichlet")
    rows, offsets = dealing.shuffled(codes, num_labels, generator)
    owner = np.empty_like(rows)
    for begin, end in pairwise(offsets.tolist()):
        shares = dealing.shares(dealing.log_gamma(generator, np.full(num_clients, alpha)))
        # Whom rounding favours is drawn as well; else labels of equal size would all favour the same clients.
        owner[begin:end] = np.repeat(generator.permutation(num_clients), dealing.whole_counts(shares, end - begin))
    owner = dealing.in_source_order(rows, dealing.fill(owner, num_clients, min_size))
    parameters = {"num_clients": num_clients, "alpha": alpha, "min_size": min_size}
    return by_owner(owner, dealing.numbered(num_clients), basis.fingerprint(labels), "dirichlet", parameters, seed)


def shards(labels: np.ndarray, num_clients: int, per_client: int = 2, *, min_size: int = 2, seed: int = 0) -> Partition:
    """Rows sorted by label are cut into num_clients * per_client shards; every client gets `per_client` at random.

    McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data", AISTATS 2017. Shards'
    sizes differ by at most one; a shard no longer than any label's rows has at most two labels.

    labels: [row] whole numbers. Raises PflError for labels that are none, and where a client's shards could hold
    fewer than `min_size` rows.
    """
    codes, num_labels = basis.labels(labels)
    per_client = whole("per_client", per_client)
    dealing.check(len(codes), num_clients, min_size, per_client * -(-whole("min_size", min_size) // per_client))
    generator = keys.host(whole("seed", seed, 0), "partition/shards")
    rows, _ = dealing.shuffled(codes, num_labels, generator)
    num_shards = num_clients * per_client
    owners = generator.permutation(num_shards) // per_client
    owner = dealing.in_source_order(rows, owners[np.arange(len(rows)) * num_shards // len(rows)])
    parameters = {"num_clients": num_clients, "per_client": per_client, "min_size": min_size}
    return by_owner(owner, dealing.numbered(num_clients), basis.fingerprint(labels), "shards", parameters, seed)


def classes(
    labels: np.ndarray, num_clients: int, per_client: int = 2, *, min_size: int = 2, seed: int = 0
) -> Partition:
    """Exactly `per_client` classes for every client; a class's rows are shared equally among those who have it.

    A class has the more clients the more rows it has, so that clients are of similar size. Every row is used unless
    num_clients * per_client is below the number of classes: then rows of classes that nobody has belong to nobody.

    labels: [row] whole numbers. Raises PflError for labels that are none, fewer classes than `per_client`, and for
    more clients than classes can be given to in parts of at least min_size / per_client rows.
    """
    codes, num_labels = basis.labels(labels)
    per_client = whole("per_client", per_client)
    if per_client > num_labels:
        raise PflError(f"per_client: expected at most the {num_labels} classes that occur, got {per_client}")
    dealing.check(len(codes), num_clients, min_size)
    part = -(-min_size // per_client)
    generator = keys.host(whole("seed", seed, 0), "partition/classes")
    rows, offsets = dealing.shuffled(codes, num_labels, generator)
    seats = _seats(np.diff(offsets), num_clients, per_client, part, generator)
    held = _mixed(_dealt_in_turn(seats, num_clients, per_client, generator), generator)
    # Cells are sorted by class; the cell of a class's r-th row is one of its seats, all equally often.
    cells, first = group(held.ravel(), num_labels)
    sizes, of = np.diff(offsets), codes[rows]
    rank = np.arange(len(rows)) - offsets[of]
    cell = np.minimum(first[of] + rank * seats[of] // sizes[of], len(cells) - 1)
    owner = dealing.in_source_order(rows, np.where(seats[of] > 0, cells[cell] // per_client, -1))
    parameters = {"num_clients": num_clients, "per_client": per_client, "min_size": min_size}
    return by_owner(owner, dealing.numbered(num_clients), basis.fingerprint(labels), "classes", parameters, seed)


def _seats(
    sizes: np.ndarray, num_clients: int, per_client: int, part: int, generator: np.random.Generator
) -> np.ndarray:
    """[class] int64: how many clients hold each class, in proportion to its rows (Webster's method), at least one.

    A class of n rows has room for n / part clients, and for no more than there are.
    """
    most, wanted = np.minimum(sizes // part, num_clients), num_clients * per_client
    if most.sum() < wanted:
        raise PflError(
            f"num_clients: expected {per_client} classes for each of {num_clients} clients in parts of at least {part} "
            f"rows, {wanted} parts, got classes with room for {int(most.sum())}; ask for fewer clients or classes"
        )
    order = generator.permutation(len(sizes))  # ties are drawn
    candidate, seat = np.repeat(order, most[order]), np.arange(int(most.sum()))
    seat -= np.repeat(np.cumsum(most[order]) - most[order], most[order])
    priority = np.where(seat == 0, np.inf, sizes[candidate] / (2 * seat + 1))
    chosen = np.argsort(-priority, kind="stable")[:wanted]
    return np.bincount(candidate[chosen], minlength=len(sizes))


def _dealt_in_turn(seats: np.ndarray, num_clients: int, per_client: int, generator: np.random.Generator) -> np.ndarray:
    """[client, per_client] classes, all different within a client: no class has more seats than there are clients."""
    order = generator.permutation(len(seats))
    return np.repeat(order, seats[order]).reshape(per_client, num_clients).T


def _mixed(held: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The table after clients, two by two, have exchanged a class each wherever neither has the other's already.

    Without this, clients of one class would share their other classes too.
    """
    num_clients, per_client = held.shape
    held, half = held.copy(), num_clients // 2
    for _ in range(20 + 4 * per_client):
        one, two = generator.permutation(num_clients)[: 2 * half].reshape(2, half)
        at, to = generator.integers(0, per_client, (2, half))
        mine, theirs = held[one, at], held[two, to]
        free = ~((held[one] == theirs[:, None]).any(axis=1) | (held[two] == mine[:, None]).any(axis=1))
        held[one[free], at[free]], held[two[free], to[free]] = theirs[free], mine[free]
    return held
