"""Populations of the shape of well-known ones, at full size, for benchmarks. THEIR CONTENT IS GENERATED.

As there: numbers of clients and examples, shapes, dtypes, classes, how sizes and labels are spread. Otherwise nothing:
images are a pattern of their class and noise, texts have a rule of succession, and accuracies say nothing of the real
data. `scale` is the share of the clients that is made, from above 0 to 1; rows are in proportion.
"""

import os
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from pfljax import keys
from pfljax.data import partition
from pfljax.data.embedded.runs import edges
from pfljax.data.embedded.text import OTHER, next_symbols
from pfljax.data.generators import content, files
from pfljax.data.generators.generated import about
from pfljax.data.partition.dealing import whole_counts
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
    sizes = share_out(np.maximum(generator.normal(197.5 - 10, 77, num_clients), 0), num_rows, 10)
    frequency = np.repeat([DIGITS / 10, (1 - DIGITS) / 52], [10, 52])
    labels = generator.choice(62, num_rows, p=frequency)
    x = content.images("emnist", seed, labels, 62, (28, 28, 1))[..., 0]
    return _population("emnist_alike", "character from an image", 62, {"x": x, "y": labels.astype(np.int32)}, sizes)


def cifar10_alike(scale: float = 1.0, seed: int = 0, *, alpha: float = 1.0) -> Population:
    """CIFAR-10 among 100 clients by a Dirichlet law of labels, each of 500 + 100 images. Generated content.

    x: [image, 32, 32, 3] uint8, y: [image] int32. Clients are `partition.mixtures` (Hsu et al., 2019) of as many
    images of every class. 100 of a client's rows are for test; of the 500 (in all 50,000) fifty are for validation.
    """
    num_clients, num_rows = _scaled(scale, 100, 60_000)
    labels = np.arange(num_rows) * 10 // num_rows
    return _cifar("cifar10", partition.mixtures(labels, num_clients, alpha, seed=seed), labels, seed)


def cifar100_alike(scale: float = 1.0, seed: int = 0, *, alpha: float = 0.1, beta: float = 10.0) -> Population:
    """CIFAR-100 among 500 clients by Pachinko allocation, each of 100 + 20 images. Generated content.

    x: [image, 32, 32, 3] uint8, y: [image] int32; the coarse class is y // 5. Clients are `partition.pachinko` of as
    many images of every class. TFF has the 10,000 test images at 100 other clients; here each of the 500 has 20 of
    them, and keeps ten of the others for validation.
    """
    num_clients, num_rows = _scaled(scale, 500, 60_000)
    labels = np.arange(num_rows) * 100 // num_rows
    dealt = partition.pachinko(labels, labels // 5, num_clients, alpha=alpha, beta=beta, seed=seed)
    return _cifar("cifar100", dealt, labels, seed)


def shakespeare_alike(scale: float = 1.0, seed: int = 0) -> Population:
    """LEAF's Shakespeare: 1,129 roles, 4,226,158 characters to predict from the 80 before. Generated content.

    x: [example, 80] uint8, y: [example] uint8, of 90 symbols; 0 pads the beginning of a role's text. Sizes are
    log-normal with LEAF's spread of 1.66 means. Rows are in the order of the text.
    """
    num_clients, num_rows = _scaled(scale, 1_129, 4_226_158)
    spread = np.sqrt(np.log(1 + 1.66**2))
    sizes = share_out(_stream(seed, "shakespeare").lognormal(0, spread, num_clients), num_rows, 10)
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

    max_rows: no client has more sentences
    folder:   where the sentences are written (5.7 GB of all) and mapped from; made again only where they are missing.
              In memory if None
    """
    num_clients, num_rows = _scaled(scale, 342_477, 135_818_730)
    sizes = share_out(_stream(seed, "stackoverflow").lognormal(0, 1.5, num_clients), num_rows, 100)
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


def share_out(weights: np.ndarray, total: int, least: int) -> np.ndarray:
    """[client] int64 that sum to `total`: `least` each, and the rest by weight, to one row."""
    return least + whole_counts(weights / weights.sum(), total - least * len(weights))


def _cifar(name: str, dealt: partition.Partition, labels: np.ndarray, seed: int) -> Population:
    """A sixth of every client's rows is for test, a twelfth for validation."""
    num_classes = int(labels[-1]) + 1
    described = about(f"{name}_alike", "object in an image", num_classes)
    made = dealt.apply({"y": labels}, (9 / 12, 1 / 12, 2 / 12), seed, about=described)
    y = made.arrays["y"].astype(np.int32)
    return replace(made, arrays={"x": content.images(name, seed, y, num_classes, (32, 32, 3)), "y": y})


def _population(name: str, task: str, num_classes: int, arrays: dict[str, np.ndarray], sizes: np.ndarray) -> Population:
    """Clients cut 80, 10 and 10 percent, in the order of their rows."""
    ids = tuple(map("c{}".format, range(len(sizes))))
    described = about(name, task, num_classes)
    return Population.from_flat(arrays, edges(sizes), ids, (0.8, 0.1, 0.1), None, about=described)


def _stream(seed: int, name: str) -> np.random.Generator:
    return keys.host(whole("seed", seed, 0), name)


def _scaled(scale: float, num_clients: int, num_rows: int) -> tuple[int, int]:
    """A share of the clients, at least one, and their share of the rows."""
    if isinstance(scale, bool) or not isinstance(scale, int | float | np.number) or not 0 < scale <= 1:
        raise PflError(f"scale: expected a number above 0 and at most 1, got {scale!r}")
    kept = max(1, round(num_clients * scale))
    return kept, round(num_rows * kept / num_clients)
