"""What a classifier asks of a population."""

import numpy as np

from pfljax.data.population import Population
from pfljax.errors import PflError


def check_labels(population: Population, model: str) -> None:
    """Refuses a population without `x`, or whose `y: [row]` is not a class below about.num_classes."""
    num_classes, arrays = population.about.num_classes, population.arrays
    if {"x", "y"} - set(arrays) or num_classes < 1:
        raise PflError(
            f"{model}: expected arrays 'x' and 'y' and about.num_classes >= 1, got arrays {sorted(arrays)} "
            f"and num_classes={num_classes}; set them, or bring a model through from_nnx"
        )
    labels = arrays["y"]
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise PflError(f"{model}: expected integer classes y: [row], got y: {labels.dtype}{list(labels.shape)}")
    wrong = (labels < 0) | (labels >= num_classes)
    if wrong.any():
        row = int(np.argmax(wrong))
        client = population.ids[int(np.searchsorted(population.offsets, row, side="right")) - 1]
        raise PflError(
            f"client {client!r}: expected classes from 0 to {num_classes - 1}, got {int(labels[row])}; "
            "recode y, or raise about.num_classes"
        )
