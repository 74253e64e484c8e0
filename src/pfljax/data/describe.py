"""`describe`: what a population is like: sizes, how far clients' labels are from everybody's, arrays, origin."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from pfljax.data.memory import memory_map
from pfljax.data.population import About, Population
from pfljax.errors import PflError

SPLITS = ("train", "validation", "test")
BLOCK = 2**22  # rows, or counts of a client's labels, that are looked at together


@dataclass(frozen=True)
class Spread:
    """One number per client, in short. tenth: the share of the sum that the largest tenth of the clients has."""

    total: float
    least: float
    low: float  # a tenth of the clients is below
    median: float
    high: float  # a tenth is above
    most: float
    tenth: float

    @staticmethod
    def of(values: np.ndarray) -> "Spread":
        """values: [client]"""
        ordered, total = np.sort(values), float(values.sum())
        largest = ordered[-max(1, round(len(values) / 10)) :].sum()
        least, low, median, high, most = np.quantile(ordered, [0, 0.1, 0.5, 0.9, 1]).tolist()
        return Spread(total, least, low, median, high, most, float(largest / total) if total else 0.0)


@dataclass(frozen=True)
class Column:
    """One array: its dtype, the shape of a row of it, its bytes, its least and largest value."""

    dtype: str
    shape: tuple[int, ...]
    num_bytes: int
    least: float
    most: float
    is_mapped: bool  # it lies in a file


@dataclass(frozen=True)
class Labels:
    """Classes. Distances are total variations, half the sum of |a client's share - the population's|, over classes.

    num_present: classes that somebody has; per_client: how many of them a client has
    distance: mean over clients; by_chance: its expectation if every row's label were drawn from the population's
      shares, since small clients are far from everybody by luck alone
    largest: the share of the population's most frequent class; own_largest: of each client's own, mean over clients
    """

    num_classes: int
    num_present: int
    per_client: Spread
    distance: float
    by_chance: float
    largest: float
    own_largest: float

    def __str__(self) -> str:
        per = self.per_client
        return (
            f"labels: {self.num_classes} classes, {self.num_present} of them present; a client has "
            f"{per.least:.0f} to {per.most:.0f}, median {per.median:.0f}\n"
            f"  distance of a client's label shares from everybody's (total variation, mean): {self.distance:.3f}; "
            f"{self.by_chance:.3f} would be chance\n"
            f"  most frequent label: {self.largest:.1%} of all rows; a client's own: {self.own_largest:.1%} of its rows"
        )


@dataclass(frozen=True)
class Numbers:
    """Targets that are numbers, one or several a row. between: the share of their variance between clients' means.

    by_chance: what that share would be, in expectation, if rows were dealt to clients at random
    """

    mean: float
    deviation: float
    between: float
    by_chance: float

    def __str__(self) -> str:
        return (
            f"targets: numbers, mean {self.mean:.4g}, standard deviation {self.deviation:.4g}\n"
            f"  share of their variance between clients: {self.between:.3f}; {self.by_chance:.3f} would be chance"
        )


@dataclass(frozen=True)
class Description:
    """Facts about a population; `str` of it is a page to read.

    num_groups: how many groups are held out whole; 0 where clients are held out one by one
    sizes: {split, or "all": rows per client}; target: None where there is no "y"
    """

    about: About
    num_clients: int
    num_rows: int
    num_groups: int
    sizes: dict[str, Spread]
    columns: dict[str, Column]
    target: Labels | Numbers | None
    checksum: str

    @property
    def num_bytes(self) -> int:
        return sum(column.num_bytes for column in self.columns.values())

    def __str__(self) -> str:
        about = self.about
        groups = f", held out together in {self.num_groups:,} groups" if self.num_groups else ", held out one by one"
        lines = [
            about.name + (f": {about.task}" if about.task else ""),
            f"{self.num_clients:,} clients{groups}; {self.num_rows:,} rows, {_mebibytes(self.num_bytes)}",
            f"licence {about.licence or 'not stated'}; source {about.source or 'not stated'}",
            *([f"partition {about.partition}"] if about.partition else []),
            f"sha256 {self.checksum}",
            "",
            "rows per client          total      min      10%   median      90%      max   largest tenth",
        ]
        for name, size in self.sizes.items():
            cells = "".join(f"{cell:>9,.0f}" for cell in (size.least, size.low, size.median, size.high, size.most))
            lines.append(f"  {name:<14}{size.total:>14,.0f}{cells}{size.tenth:>16.1%}")
        lines += ["", f"{'arrays':<16}{'dtype':<10}{'of a row':<16}{'memory':>14}   values"]
        for name, column in self.columns.items():
            mapped = ", in a file" if column.is_mapped else ""
            lines.append(
                f"  {name:<14}{column.dtype:<10}{list(column.shape)!s:<16}{_mebibytes(column.num_bytes):>14}   "
                f"{column.least:.6g} to {column.most:.6g}{mapped}"
            )
        return "\n".join([*lines, "", str(self.target) if self.target else "no targets: there is no array 'y'"])


def describe(population: Population) -> Description:
    """Looks at every row of a population.

    Targets are the array "y", all splits together: classes if `about.num_classes` says how many there are, else
    numbers. Raises PflError, naming the client, for a class that is none.

    >>> people = {"ada": {"y": np.array([0, 0, 0, 1])}, "bob": {"y": np.array([1, 1, 1, 0])}}
    >>> describe(Population.from_clients(people, about=About(num_classes=2))).target.distance
    0.25
    """
    sizes = {name: Spread.of(population.sizes(name)) for name in SPLITS}
    return Description(
        about=population.about,
        num_clients=population.num_clients,
        num_rows=population.num_rows,
        num_groups=0 if population.groups is None else len(set(population.groups)),
        sizes={**sizes, "all": Spread.of(np.diff(population.offsets))},
        columns={name: _column(array) for name, array in population.arrays.items()},
        target=_target(population),
        checksum=population.checksum(),
    )


def has_classes(population: Population) -> bool:
    """Whether "y" is there and holds classes."""
    return population.about.num_classes > 0 and "y" in population.arrays


def label_counts(population: Population, begin: int = 0, end: int | None = None) -> np.ndarray:
    """[client, class] int64: how often each of the clients begin:end has each class of "y", all splits together.

    Raises PflError, naming the client, for a class that is none.
    """
    end, num_classes = population.num_clients if end is None else end, population.about.num_classes
    first, last = int(population.offsets[begin]), int(population.offsets[end])
    y = population.arrays["y"][first:last].reshape(last - first, -1)
    if y.dtype.kind not in "iub":
        raise PflError(f"array 'y': expected whole numbers, as about.num_classes is {num_classes}, got {y.dtype}")
    client = np.repeat(np.arange(end - begin), np.diff(population.offsets[begin : end + 1]))
    bad = ((y < 0) | (y >= num_classes)).any(axis=1) if y.dtype.kind != "b" else np.zeros(len(y), bool)
    if bad.any():
        row = int(np.argmax(bad))
        raise PflError(
            f"client {population.ids[begin + client[row]]!r}: expected classes from 0 to {num_classes - 1} in 'y', "
            f"got {y[row].tolist()} in its row {first + row - int(population.offsets[begin + client[row]])}"
        )
    place = client[:, None] * num_classes + y.astype(np.int64)
    return np.bincount(place.ravel(), minlength=(end - begin) * num_classes).reshape(end - begin, num_classes)


def moments(population: Population) -> tuple[np.ndarray, np.ndarray]:
    """(mean of "y", standard deviation), each [client, number] float64, all splits together."""
    y = population.arrays["y"].reshape(population.num_rows, -1)
    counts, begin = np.diff(population.offsets), population.offsets[:-1]
    mean = np.add.reduceat(y, begin, axis=0, dtype=np.float64) / counts[:, None]
    apart = np.add.reduceat((y - np.repeat(mean, counts, axis=0)) ** 2, begin, axis=0)
    return mean, np.sqrt(apart / counts[:, None])


def distance_by_chance(size: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """[size] float64: expected total variation between `shares` [class] and those of `size` draws from them.

    It is the sum over classes of a binomial's mean absolute deviation, 2 v C(n, v) p^v (1-p)^(n-v+1) with
    v = floor(n p) + 1 (de Moivre).

    >>> distance_by_chance(np.array([1, 2]), np.array([0.5, 0.5]))
    array([0.5 , 0.25])
    """
    p = shares[(shares > 0) & (shares < 1)]
    n = np.asarray(size, np.float64)[:, None]
    v = np.floor(n * p) + 1
    log = gammaln(n + 1) - gammaln(v + 1) - gammaln(n - v + 1) + v * np.log(p) + (n - v + 1) * np.log1p(-p)
    return (v / n * np.exp(log)).sum(axis=1)


def _target(population: Population) -> Labels | Numbers | None:
    if "y" not in population.arrays:
        return None
    if not population.arrays["y"].size:
        raise PflError(f"array 'y': expected labels, got shape {list(population.arrays['y'].shape)}; leave it out")
    return _labels(population) if has_classes(population) else _numbers(population)


def _labels(population: Population) -> Labels:
    blocks = list(_blocks(population))
    totals = np.sum([label_counts(population, *block).sum(axis=0) for block in blocks], axis=0)
    shares = totals / totals.sum()
    parts = []
    for block in blocks:
        counts = label_counts(population, *block)
        own = counts / counts.sum(axis=1, keepdims=True)
        parts.append(((counts > 0).sum(axis=1), np.abs(own - shares).sum(axis=1) / 2, own.max(axis=1)))
    present, distance, largest = (np.concatenate(part) for part in zip(*parts, strict=True))
    width = population.arrays["y"][:1].size
    sizes, clients = np.unique(np.diff(population.offsets) * width, return_counts=True)
    step = max(1, BLOCK // len(shares))
    chance = [distance_by_chance(sizes[at : at + step], shares) for at in range(0, len(sizes), step)]
    return Labels(
        num_classes=len(shares),
        num_present=int((totals > 0).sum()),
        per_client=Spread.of(present),
        distance=float(distance.mean()),
        by_chance=float(np.concatenate(chance) @ clients / clients.sum()),
        largest=float(shares.max()),
        own_largest=float(largest.mean()),
    )


def _numbers(population: Population) -> Numbers:
    mean, deviation = moments(population)
    weight = np.diff(population.offsets) / population.num_rows
    overall = weight @ mean
    between, within = float((weight @ (mean - overall) ** 2).sum()), float((weight @ deviation**2).sum())
    return Numbers(
        mean=float(overall.mean()),
        deviation=float(np.sqrt((between + within) / len(overall))),
        between=between / (between + within) if between + within else 0.0,
        by_chance=(population.num_clients - 1) / max(1, population.num_rows - 1),
    )


def _blocks(population: Population) -> Iterator[tuple[int, int]]:
    """Clients (begin, end) whose label counts, and whose rows where they are several, fit BLOCK."""
    offsets, begin = population.offsets, 0
    most = max(1, BLOCK // population.about.num_classes)
    while begin < population.num_clients:
        fits = int(np.searchsorted(offsets, offsets[begin] + BLOCK, side="right")) - 1
        end = min(max(begin + 1, fits), begin + most, population.num_clients)
        yield begin, end
        begin = end


def _column(array: np.ndarray) -> Column:
    is_mapped = memory_map(array) is not None
    least, most = (float(edge(array)) if array.size else 0.0 for edge in (np.min, np.max))
    return Column(str(array.dtype), array.shape[1:], array.nbytes, least, most, is_mapped)


def _mebibytes(num_bytes: int) -> str:
    return f"{num_bytes / 2**20:,.2f} MiB"
