"""Partitions that look at no label: equal sizes, and sizes with heavy tails (quantity skew)."""

import numpy as np

from pfljax import keys
from pfljax.data.partition import dealing
from pfljax.data.partition.basis import fingerprint
from pfljax.data.partition.record import Fact, Partition, by_owner
from pfljax.errors import whole


def iid(num_rows: int, num_clients: int, *, min_size: int = 2, seed: int = 0) -> Partition:
    """Every row to a client at random; sizes differ by at most one.

    Raises PflError for more clients than num_rows / min_size.

    >>> iid(10, 3).sizes.tolist()
    [4, 3, 3]
    """
    num_rows = whole("num_rows", num_rows)
    dealing.check(num_rows, num_clients, min_size)
    sizes = dealing.equal_sizes(num_rows, num_clients)
    return _dealt("iid", num_rows, sizes, {"num_clients": num_clients, "min_size": min_size}, seed)


def lognormal_sizes(
    num_rows: int, num_clients: int, sigma: float = 1.0, *, min_size: int = 2, seed: int = 0
) -> Partition:
    """Rows at random, sizes proportional to exp(sigma * N(0, 1)); clients below `min_size` get rows of the largest.

    Raises PflError for more clients than num_rows / min_size, and for sigma below 0.
    """
    num_rows, sigma = whole("num_rows", num_rows), dealing.number("sigma", sigma, 0, 1e100)
    dealing.check(num_rows, num_clients, min_size)
    logs = sigma * keys.host(whole("seed", seed, 0), "partition/lognormal_sizes/sizes").standard_normal(num_clients)
    parameters = {"num_clients": num_clients, "sigma": sigma, "min_size": min_size}
    return _dealt("lognormal_sizes", num_rows, dealing.skewed_sizes(logs, num_rows, min_size), parameters, seed)


def zipf_sizes(
    num_rows: int, num_clients: int, exponent: float = 1.0, *, min_size: int = 2, seed: int = 0
) -> Partition:
    """Rows at random, the k-th largest client's size proportional to k ** -exponent; who is the k-th is drawn.

    Clients below `min_size` get rows of the largest. Raises PflError as `lognormal_sizes` does.
    """
    num_rows, exponent = whole("num_rows", num_rows), dealing.number("exponent", exponent, 0, 1e100)
    dealing.check(num_rows, num_clients, min_size)
    rank = 1 + keys.host(whole("seed", seed, 0), "partition/zipf_sizes/sizes").permutation(num_clients)
    parameters = {"num_clients": num_clients, "exponent": exponent, "min_size": min_size}
    sizes = dealing.skewed_sizes(-exponent * np.log(rank), num_rows, min_size)
    return _dealt("zipf_sizes", num_rows, sizes, parameters, seed)


def _dealt(name: str, num_rows: int, sizes: np.ndarray, parameters: dict[str, Fact], seed: int) -> Partition:
    rows = keys.host(whole("seed", seed, 0), f"partition/{name}").permutation(num_rows)
    owner = dealing.in_source_order(rows, np.repeat(np.arange(len(sizes)), sizes))
    return by_owner(owner, dealing.numbered(len(sizes)), fingerprint(num_rows), name, parameters, seed)
