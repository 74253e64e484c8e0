"""Partitions of equal sizes in which every client draws its own mix of labels: flat, or in two levels (Pachinko).

Rows are drawn without replacement, client after client: what is left decides for those who come last.
"""

import numpy as np

from pfljax import keys
from pfljax.data.partition import basis, dealing
from pfljax.data.partition.record import Partition, by_owner, group
from pfljax.errors import PflError, whole


def mixtures(labels: np.ndarray, num_clients: int, alpha: float, *, min_size: int = 2, seed: int = 0) -> Partition:
    """Clients of equal sizes (to one row), each with a mix of labels from Dirichlet(alpha * the mix of the whole).

    Hsu et al., "Measuring the Effects of Non-Identical Data Distribution for Federated Visual Classification", 2019.
    Once a label has run out, the others share its part.

    labels: [row] whole numbers. Raises PflError as `dirichlet` does.
    """
    codes, num_labels = basis.labels(labels)
    dealing.check(len(codes), num_clients, min_size)
    alpha = dealing.concentration("alpha", alpha)
    generator = keys.host(whole("seed", seed, 0), "partition/mixtures")
    rows, offsets = dealing.shuffled(codes, num_labels, generator)
    left = np.diff(offsets)[None]
    prior = np.maximum(alpha * left / len(codes), 1e-100)
    draw = lambda size, left: _draw(generator, np.array([size]), dealing.log_gamma(generator, prior), left)
    owner = dealing.in_source_order(rows, _one_after_another(draw, left, num_clients))
    parameters = {"num_clients": num_clients, "alpha": alpha, "min_size": min_size}
    return by_owner(owner, dealing.numbered(num_clients), basis.fingerprint(labels), "mixtures", parameters, seed)


def pachinko(
    fine: np.ndarray,
    coarse: np.ndarray,
    num_clients: int,
    *,
    alpha: float = 0.1,
    beta: float = 10.0,
    min_size: int = 2,
    seed: int = 0,
) -> Partition:
    """Clients of equal sizes (to one row), each with a mix of coarse labels and, within each, one of fine labels.

    Reddi et al., "Adaptive Federated Optimization", ICLR 2021, appendix F (CIFAR-100: 500 clients, alpha 0.1, beta 10):
    coarse labels from Dirichlet(alpha), fine ones from Dirichlet(beta) within each; labels that have run out leave
    their part to their siblings.

    fine, coarse: [row] whole numbers; the partition is made for `fine`. Raises PflError as `dirichlet` does, and for a
    fine label with two coarse ones.
    """
    (codes, num_fine), (above, num_coarse) = basis.labels(fine, "fine"), basis.labels(coarse, "coarse")
    parent = _parents(codes, num_fine, above)
    dealing.check(len(codes), num_clients, min_size)
    alpha, beta = dealing.concentration("alpha", alpha), dealing.concentration("beta", beta)
    generator = keys.host(whole("seed", seed, 0), "partition/pachinko")
    # Fine labels are renumbered to lie coarse by coarse, in a table [coarse, fine] with empty places.
    order, begins = group(parent, num_coarse)
    place = np.empty_like(order)
    place[order] = parent[order] * np.diff(begins).max() + np.arange(num_fine) - begins[parent[order]]
    codes = place[codes]
    left = np.bincount(codes, minlength=num_coarse * np.diff(begins).max()).reshape(num_coarse, -1)

    def draw(size: int, left: np.ndarray) -> np.ndarray:
        tops = dealing.log_gamma(generator, np.full((1, num_coarse), alpha))
        by_coarse = _draw(generator, np.array([size]), tops, left.sum(axis=1)[None])[0]
        return _draw(generator, by_coarse, dealing.log_gamma(generator, np.full(left.shape, beta)), left)

    rows, _ = dealing.shuffled(codes, left.size, generator)
    owner = dealing.in_source_order(rows, _one_after_another(draw, left, num_clients))
    parameters = {
        "num_clients": num_clients, "alpha": alpha, "beta": beta, "min_size": min_size,
        "coarse": basis.fingerprint(coarse),
    }  # fmt: skip
    return by_owner(owner, dealing.numbered(num_clients), basis.fingerprint(fine), "pachinko", parameters, seed)


def _one_after_another(draw, left: np.ndarray, num_clients: int) -> np.ndarray:
    """[row] int64: the owner of every row, in the order of labels; draw: (size, left) -> counts like `left`.

    A loop over clients, because what one draws depends on what those before it have left.
    """
    sizes, left = dealing.equal_sizes(int(left.sum()), num_clients), left.copy()
    labels, clients, counts = [], [], []
    for client, size in enumerate(sizes.tolist()):
        drawn = draw(size, left)
        left -= drawn
        labels.append(np.flatnonzero(drawn))
        counts.append(drawn.ravel()[labels[-1]])
        clients.append(np.full(len(labels[-1]), client))
    order, _ = group(np.concatenate(labels), left.size)
    return np.repeat(np.concatenate(clients)[order], np.concatenate(counts)[order])


def _draw(generator: np.random.Generator, num: np.ndarray, logs: np.ndarray, left: np.ndarray) -> np.ndarray:
    """[group, label] int64: num[group] draws by shares exp(logs), without replacement; num <= left.sum(axis=1).

    Draws of a label that has run out are drawn again among the others, which is what drawing one by one with shares
    normalized again would give. Every pass draws all that is missing or empties a label, so it ends.
    """
    counts = np.zeros_like(left)
    while (missing := num - counts.sum(axis=1)).any():
        alive = np.where(counts < left, logs, -np.inf)
        alive[missing == 0] = 0.0  # nothing is drawn there, and everything may have run out
        counts = np.minimum(counts + generator.multinomial(missing, dealing.shares(alive)), left)
    return counts


def _parents(codes: np.ndarray, num_fine: int, above: np.ndarray) -> np.ndarray:
    """[fine] int64: the coarse label of each fine one."""
    if len(above) != len(codes):
        raise PflError(f"coarse: expected a label for each of {len(codes)} rows, got {len(above)}")
    parent = np.empty(num_fine, np.int64)
    parent[codes] = above
    if (other := parent[codes] != above).any():
        row = int(np.argmax(other))
        raise PflError(
            f"coarse: expected one coarse label for every fine one, got two for that of row {row}; check that the "
            "columns belong together and that coarse is the coarser one"
        )
    return parent
