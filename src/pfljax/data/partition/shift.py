"""Shifts: the same rows for the same clients, with data of each client's own. Population -> Population.

What happens to a client hangs on its id and the seed, never on its position or on who else is there. Splits, ids and
dtypes stay: whole numbers are rounded and clipped to their dtype. Copies the array it changes.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pfljax import keys
from pfljax.data.memory import empty
from pfljax.data.partition.dealing import number
from pfljax.data.population import Population
from pfljax.errors import PflError, nearest, whole

STEP = 4096  # rows that are computed at a time


def clusters(ids: Sequence[str], num_clusters: int, seed: int = 0) -> np.ndarray:
    """[client] int64: the cluster each client draws. `rotate` and `swap_labels` use it, so it is their truth.

    >>> clusters(("ada", "bob"), 4).tolist() == clusters(("eve", "ada", "bob"), 4).tolist()[1:]
    True
    """
    num_clusters, seed = whole("num_clusters", num_clusters), whole("seed", seed, 0)
    draw = lambda name: keys.host(seed, f"shift/cluster/{name}").integers(num_clusters)
    return np.fromiter(map(draw, ids), np.int64, len(ids))


def rotate(population: Population, angles: Sequence[float], *, array: str = "x", seed: int = 0) -> Population:
    """Images turned counterclockwise by one of `angles` (degrees) for each client: its cluster's (`clusters`).

    Multiples of 90 are exact; other angles turn around the centre, bilinear between the four nearest pixels, and 0
    where there was no image. array: [row, height, width] or [row, height, width, channel] numbers.

    Raises PflError for angles that are none, an array that holds no images, and a quarter turn of images that are
    not square.
    """
    angles = [number("angles", angle, -1e6, 1e6) % 360 for angle in angles]
    images = _array(population, array)
    if images.ndim not in (3, 4) or images.dtype.kind == "b":
        raise PflError(
            f"array {array!r}: expected images [row, height, width] or [row, height, width, channel] of numbers, got "
            f"{images.dtype}{list(images.shape)}; reshape it first"
        )
    if images.shape[1] != images.shape[2] and (turned := [angle for angle in angles if angle % 180 == 90]):
        raise PflError(
            f"angles: expected no quarter turn of images of shape {list(images.shape[1:3])}, got {turned[0]:g}; pad"
        )
    owner = np.repeat(clusters(population.ids, len(angles), seed), np.diff(population.offsets))
    out = empty(images.shape, images.dtype)
    for index, angle in enumerate(angles):
        rows = np.flatnonzero(owner == index)
        for begin in range(0, len(rows), STEP):
            part = rows[begin : begin + STEP]
            out[part] = _turned(images[part], angle)
    return replace(population, arrays={**population.arrays, array: out})


def noise(population: Population, level: float, *, array: str = "x", seed: int = 0) -> Population:
    """Gaussian noise on every number; a client's standard deviation is its own, uniform from 0 to `level`.

    array: [row, ...] numbers; `level` is in their unit. Raises PflError for a level below 0 and for booleans.
    """
    level, seed = number("level", level, 0, 1e30), whole("seed", seed, 0)
    values = _array(population, array)
    if values.dtype.kind == "b":
        raise PflError(f"array {array!r}: expected numbers, got booleans; cast it first")
    kind = np.result_type(values.dtype, np.float32)
    out = empty(values.shape, values.dtype)
    for name, begin, end in zip(population.ids, population.offsets[:-1], population.offsets[1:], strict=True):
        generator = keys.host(seed, f"shift/noise/{name}")
        scale = kind.type(generator.uniform(0, level))
        drawn = generator.standard_normal((int(end - begin), *values.shape[1:]), kind.type)
        out[begin:end] = _as(values[begin:end] + scale * drawn, values.dtype)
    return replace(population, arrays={**population.arrays, array: out})


def swap_labels(
    population: Population,
    num_clusters: int | None = None,
    *,
    array: str = "y",
    num_classes: int | None = None,
    seed: int = 0,
) -> Population:
    """Concept shift: labels renamed by a permutation for each cluster (`clusters`), or for each client (None).

    array: [row] whole numbers below num_classes, which is `population.about.num_classes` unless given. Permutations
    are drawn at random, the identity among them. Raises PflError, naming the client, for other labels.
    """
    seed = whole("seed", seed, 0)
    num_classes = whole("num_classes", population.about.num_classes if num_classes is None else num_classes)
    labels = _array(population, array)
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise PflError(f"array {array!r}: expected labels [row], whole numbers, got {labels.dtype}{list(labels.shape)}")
    if (bad := (labels < 0) | (labels >= num_classes)).any():
        row = int(np.argmax(bad))
        client = population.ids[int(np.searchsorted(population.offsets, row, side="right")) - 1]
        raise PflError(
            f"client {client!r}: expected labels from 0 to {num_classes - 1}, got {labels[row]} in {array!r}"
        )
    if num_clusters is None:
        of, names = np.arange(population.num_clients), [f"shift/labels/client/{name}" for name in population.ids]
    else:
        of = clusters(population.ids, num_clusters, seed)
        names = [f"shift/labels/cluster/{cluster}" for cluster in range(num_clusters)]
    renamed = np.stack([keys.host(seed, name).permutation(num_classes) for name in names]).astype(labels.dtype)
    out = empty(labels.shape, labels.dtype)
    out[...] = renamed[np.repeat(of, np.diff(population.offsets)), labels]
    return replace(population, arrays={**population.arrays, array: out})


def _array(population: Population, name: str) -> np.ndarray:
    if name not in population.arrays:
        known = population.arrays
        raise PflError(f"array: expected one of {', '.join(known)}, got {name!r}{nearest(str(name), known)}")
    return population.arrays[name]


def _as(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Values in `dtype`, rounded and clipped to it where it holds whole numbers."""
    if dtype.kind == "f":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    low, high = np.asarray([limits.min, limits.max], values.dtype)
    if int(high) > limits.max:  # no float is the largest int64: it was rounded up, out of the dtype
        high = np.nextafter(high, low)
    return np.clip(np.rint(values), low, high).astype(dtype)


def _turned(images: np.ndarray, angle: float) -> np.ndarray:
    """[row, height, width, ...] turned counterclockwise by `angle` degrees, from 0 to below 360."""
    if angle % 90 == 0:
        return np.rot90(images, int(angle // 90), axes=(1, 2))
    height, width = images.shape[1:3]
    down, right = np.mgrid[:height, :width] - np.array([(height - 1) / 2, (width - 1) / 2])[:, None, None]
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    # Where a pixel comes from: turned back, clockwise (rows count downwards).
    row = cos * down + sin * right + (height - 1) / 2
    column = cos * right - sin * down + (width - 1) / 2
    kind = np.result_type(images.dtype, np.float32)
    flat = images.reshape(len(images), height * width, -1)
    total = np.zeros(flat.shape, kind)
    for low_row, low_column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        r, c = np.floor(row) + low_row, np.floor(column) + low_column
        weight = (1 - abs(row - r)) * (1 - abs(column - c)) * ((r >= 0) & (r < height) & (c >= 0) & (c < width))
        index = (np.clip(r, 0, height - 1) * width + np.clip(c, 0, width - 1)).astype(np.int64)
        total += flat[:, index.ravel()] * weight.astype(kind).ravel()[:, None]
    return _as(total, images.dtype).reshape(images.shape)
