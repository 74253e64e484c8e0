"""Partitions that the data bring along: a column that says whose a row is, or when it was."""

import numpy as np

from pfljax.data.partition import basis, dealing
from pfljax.data.partition.record import Fact, Partition, by_owner, group
from pfljax.errors import PflError, whole


def by_column(keys: np.ndarray, *, min_size: int = 2) -> Partition:
    """One client for every key of a column, in rising order of keys; ids are the keys as str.

    keys: [row] str, bytes (UTF-8) or whole numbers. Clients with fewer than `min_size` rows are left out, and their
    rows belong to nobody. Where the keys are none of the arrays: `made_for=keys` when it is applied.

    Raises PflError, naming the row, for keys of another type, empty or no UTF-8, and if no client is large enough.

    >>> by_column(np.array(["bob", "ada", "bob", "ada", "eve"])).ids
    ('ada', 'bob')
    """
    codes, ids = basis.clients(keys)
    new, kept = _large(codes, len(ids), whole("min_size", min_size))
    source = basis.fingerprint(keys)
    return by_owner(new[codes], [ids[client] for client in kept], source, "by_column", {"min_size": min_size}, None)


def temporal(times: np.ndarray, num_periods: int, *, keys: np.ndarray | None = None, min_size: int = 2) -> Partition:
    """Rows sorted by time are cut into `num_periods` runs of equal numbers of rows (to one), and each is a client.

    Without `keys` the periods of the whole are the clients "0", "1", ..., earliest first. With a column of keys every
    client's own rows are cut, into clients "ada/0", "ada/1", ... of one group "ada", held out together; those with
    fewer than num_periods * min_size rows are left out. Rows stay in the order of time, so that `apply(seed=None)`
    trains on the past and tests on the future. Rows of equal time keep the order of the source.

    times: [row] numbers or datetime64. Nothing is drawn. Raises PflError for NaN, infinity and NaT, bad keys, and
    fewer than num_periods * min_size rows.

    >>> temporal(np.array([3, 1, 2, 0]), 2).rows.tolist()
    [3, 1, 2, 0]
    """
    when, num_periods = basis.times(times), whole("num_periods", num_periods)
    order = np.argsort(when, kind="stable")
    parameters: dict[str, Fact] = {"num_periods": num_periods, "min_size": whole("min_size", min_size)}
    if keys is None:
        dealing.check(len(when), num_periods, min_size, name="num_periods")
        codes, ids, groups = np.zeros(len(when), np.int64), dealing.numbered(num_periods), None
        new = np.zeros(1, np.int64)
    else:
        codes, names = basis.clients(keys)
        if len(codes) != len(when):
            raise PflError(f"keys: expected one for each of the {len(when)} times, got {len(codes)}")
        new, kept = _large(codes, len(names), num_periods * min_size)
        ids = [f"{names[client]}/{period}" for client in kept for period in range(num_periods)]
        groups = [names[client] for client in kept for _ in range(num_periods)]
        parameters["keys"] = basis.fingerprint(keys)
    codes = codes[order]
    by_client, begins = group(codes, len(new))
    of = codes[by_client]
    rank, sizes = np.arange(len(of)) - begins[of], np.diff(begins)
    period = np.where(new[of] < 0, -1, new[of] * num_periods + rank * num_periods // sizes[of])
    owner = dealing.in_source_order(by_client, period)  # in the order of time
    return by_owner(owner, ids, basis.fingerprint(times), "temporal", parameters, None, groups, order)


def _large(codes: np.ndarray, num_clients: int, least: int) -> tuple[np.ndarray, list[int]]:
    """([client] int64 new numbers, -1 for those with fewer than `least` rows, the clients that are kept)."""
    sizes = np.bincount(codes, minlength=num_clients)
    keep = sizes >= least
    if not keep.any():
        raise PflError(
            f"keys: expected a client with at least {least} rows, got {num_clients} with at most {int(sizes.max())}; "
            "check the column, or ask for less"
        )
    return np.where(keep, np.cumsum(keep) - 1, -1), np.flatnonzero(keep).tolist()
