"""Populations of the shape of well-known ones, at full size, for benchmarks. THEIR CONTENT IS GENERATED.

As there: numbers of clients and examples, shapes, dtypes, classes, how sizes and labels are spread. Otherwise nothing:
images are a pattern of their class and noise, texts have a rule of succession, and accuracies say nothing of the real
data. `scale` is the share of the clients that is made, from above 0 to 1; rows are in proportion.
"""

import os
from collections.abc import Iterator

import numpy as np

from pfljax import keys
from pfljax.data.embedded.runs import edges
from pfljax.data.embedded.text import OTHER, next_symbols
from pfljax.data.generators import content, files
from pfljax.data.generators.generated import about
from pfljax.data.population import Population
from pfljax.errors import PflError, whole

DIGITS = 341_873 / 671_585  # share of EMNIST's rows


def emnist_alike(scale: float = 1.0, seed: int = 0) -> Population:
    """TFF's federated EMNIST of 62 classes: 3,400 clients, 671,585 images. Generated content.

    x: [image, 28, 28] uint8, y: [image] int32. Sizes are N(197.5, 77), at least 10. Half of the images (as there) are
    of the ten digits, the rest of the 52 letters, all alike; for every client.
    """
    num_clients, num_rows = _scaled(scale, 3_400, 671_585)
    generator = _stream(seed, "emnist")
    sizes = shares(np.maximum(generator.normal(197.5 - 10, 77, num_clients), 0), num_rows, 10)
    frequency = np.repeat([DIGITS / 10, (1 - DIGITS) / 52], [10, 52])
    labels = generator.choice(62, num_rows, p=frequency)
    x = content.images("emnist", seed, labels, 62, (28, 28, 1))[..., 0]
    return _population("emnist_alike", "character from an image", 62, {"x": x, "y": labels.astype(np.int32)}, sizes)


def cifar10_alike(scale: float = 1.0, seed: int = 0, *, alpha: float = 0.5) -> Population:
    """CIFAR-10 among 100 clients by a Dirichlet law of labels, each of 500 + 100 images. Generated content.

    x: [image, 32, 32, 3] uint8, y: [image] int32. A client's labels are drawn by its own shares, from a symmetric
    Dirichlet(alpha) (Hsu et al., 2019), with replacement: all clients' together are near equal for large alpha only.
    The 100 are its test rows; of the 500 (in all 50,000) fifty are for validation.
    """
    _positive("alpha", alpha)
    num_clients, _ = _scaled(scale, 100, 60_000)
    law = _stream(seed, "cifar10").dirichlet(np.full(10, float(alpha)), num_clients)
    return _cifar("cifar10", law, 600, seed)


def cifar100_alike(scale: float = 1.0, seed: int = 0, *, alpha: float = 0.1, beta: float = 10.0) -> Population:
    """CIFAR-100 among 500 clients by Pachinko allocation, each of 100 + 20 images. Generated content.

    x: [image, 32, 32, 3] uint8, y: [image] int32. A client's shares of the 20 coarse classes are from a symmetric
    Dirichlet(alpha), and of the five fine ones in each, here label // 5, from Dirichlet(beta), as in TFF's; labels are
    drawn with replacement. TFF has the 10,000 test images at 100 other clients; here each of the 500 has 20 of them.
    """
    _positive("alpha", alpha)
    _positive("beta", beta)
    num_clients, _ = _scaled(scale, 500, 60_000)
    generator = _stream(seed, "cifar100")
    coarse = generator.dirichlet(np.full(20, float(alpha)), num_clients)
    fine = generator.dirichlet(np.full(5, float(beta)), (num_clients, 20))
    return _cifar("cifar100", (coarse[..., None] * fine).reshape(num_clients, 100), 120, seed)


def shakespeare_alike(scale: float = 1.0, seed: int = 0) -> Population:
    """LEAF's Shakespeare: 1,129 roles, 4,226,158 characters to predict from the 80 before. Generated content.

    x: [example, 80] uint8, y: [example] uint8, of 90 symbols; 0 pads the beginning of a role's text. Sizes are
    log-normal with LEAF's spread of 1.66 means. Rows are in the order of the text.
    """
    num_clients, num_rows = _scaled(scale, 1_129, 4_226_158)
    spread = np.sqrt(np.log(1 + 1.66**2))
    sizes = shares(_stream(seed, "shakespeare").lognormal(0, spread, num_clients), num_rows, 10)
    characters = edges(sizes - 1)  # the end of a role's text is an example too
    tokens = content.text("shakespeare", seed, characters, 90)
    x, y = next_symbols(tokens, characters[:-1], sizes - 1, 80)
    return _population("shakespeare_alike", "next character", 90, {"x": x, "y": y}, sizes)


def stackoverflow_alike(
    scale: float = 1.0,
    seed: int = 0,
    *,
    max_rows: int | None = None,
    folder: str | os.PathLike[str] | None = None,
) -> Population:
    """TFF's Stack Overflow: 342,477 clients, 135,818,730 sentences of 20 words. Generated content.

    x: [sentence, 20] int16, BOUNDARY (0) and words; y: the same one word further, as of `importers.tff_stack_overflow`;
    10,000 words, from number 2. Sizes are 100, the fewest that its authors have in all, and log-normal with a
    deviation of 1.5 in logarithms (a guess), which makes the mean 397 and some clients a hundred times as large.

    max_rows: a client's first so many sentences are made
    folder:   where the sentences are written (5.7 GB of all) and mapped from; made again only where they are missing.
              In memory if None
    """
    num_clients, num_rows = _scaled(scale, 342_477, 135_818_730)
    sizes = shares(_stream(seed, "stackoverflow").lognormal(0, 1.5, num_clients), num_rows, 100)
    if max_rows is not None:
        sizes = np.minimum(sizes, whole("max_rows", max_rows, 2))
    offsets = edges(sizes)
    shape, num_words = (int(offsets[-1]), 21), 10_000

    def parts() -> Iterator[np.ndarray]:
        return content.sentences("stackoverflow", seed, offsets, num_words, 20)

    if folder is None:
        tokens = files.joined(parts, shape, np.int16)
    else:  # clients, rows and the seed decide sizes, and they the content
        tokens = files.written(folder, f"stackoverflow_alike-{num_clients}-{shape[0]}-{seed}", parts, shape, np.int16)
    arrays = {"x": tokens[:, :-1], "y": tokens[:, 1:]}
    return _population("stackoverflow_alike", "next word", num_words + OTHER + 1, arrays, sizes)


def shares(weights: np.ndarray, total: int, least: int) -> np.ndarray:
    """[client] int64 that sum to `total`: at least `least` each, the rest by weight, remainders to the largest."""
    rest = total - least * len(weights)
    exact = weights / weights.sum() * rest
    whole_part = np.floor(exact).astype(np.int64)
    left = rest - int(whole_part.sum())
    whole_part[np.argsort(whole_part - exact, kind="stable")[:left]] += 1
    return least + whole_part


def _cifar(name: str, law: np.ndarray, rows: int, seed: int) -> Population:
    """Clients of `rows` images each, labels by law [client, class]; a sixth of them test, a twelfth validation."""
    num_clients, num_classes = law.shape
    client = np.repeat(np.arange(num_clients), rows)
    reached = np.cumsum(law, axis=1)
    reached /= reached[:, -1:]  # ends at 1, to the bit
    drawn = client + _stream(seed, f"{name} labels").random(len(client))
    labels = np.searchsorted((np.arange(num_clients)[:, None] + reached).ravel(), drawn, side="right")
    labels = np.minimum(labels - client * num_classes, num_classes - 1).astype(np.int32)
    arrays = {"x": content.images(name, seed, labels, num_classes, (32, 32, 3)), "y": labels}
    sizes = np.full(num_clients, rows)
    return _population(f"{name}_alike", "object in an image", num_classes, arrays, sizes, (9 / 12, 1 / 12, 2 / 12))


def _population(
    name: str,
    task: str,
    num_classes: int,
    arrays: dict[str, np.ndarray],
    sizes: np.ndarray,
    split: tuple[float, float, float] = (0.8, 0.1, 0.1),
) -> Population:
    ids = tuple(map("c{}".format, range(len(sizes))))
    return Population.from_flat(arrays, edges(sizes), ids, split, None, about=about(name, task, num_classes))


def _stream(seed: int, name: str) -> np.random.Generator:
    return keys.host(whole("seed", seed, 0), name)


def _scaled(scale: float, num_clients: int, num_rows: int) -> tuple[int, int]:
    """A share of the clients, at least one, and their share of the rows."""
    if isinstance(scale, bool) or not isinstance(scale, int | float | np.number) or not 0 < scale <= 1:
        raise PflError(f"scale: expected a number above 0 and at most 1, got {scale!r}")
    kept = max(1, round(num_clients * scale))
    return kept, round(num_rows * kept / num_clients)


def _positive(name: str, value: float) -> None:
    if not 0 < value < np.inf:
        raise PflError(f"{name}: expected a positive number, got {value}")
