"""`digits`: which digit an 8 x 8 image shows; a client is the form on which it was written, or dealt by label.

The test part of UCI's optical recognition of handwritten digits. Its labels repeat one text 14 times, with
gaps: 14 forms, each from one hand. UCI speaks of 13 writers for this part, so one of them may have filled in
two; hence "form", not "writer".

digits.npz, in the order of the source:
  pixels [row, 8, 8] uint8 from 0 to 16, label [row], form_rows [form] how many rows are a form's
"""

from typing import Literal

import numpy as np

from pfljax.data.embedded.files import about, choice, read
from pfljax.data.embedded.runs import edges
from pfljax.data.partition import dirichlet
from pfljax.data.population import Population
from pfljax.errors import PflError

MIN_SIZE = 10  # images of a client of the Dirichlet partition: 6 to train, 2 to validate, 2 to test


def load(
    partition: Literal["forms", "dirichlet"] = "forms",
    num_clients: int | None = None,
    alpha: float | None = None,
    seed: int = 0,
) -> Population:
    """x: [image, 8, 8] float32 from 0 to 1; y: [image] int32, the digit.

    partition: "forms" is by hand, 14 clients; "dirichlet" shares out each digit's images by a Dirichlet law
    num_clients, alpha: of "dirichlet" alone; by default 40 clients and 0.5
    seed: draws the Dirichlet law, and shuffles each client's images before they are split 60/20/20
    """
    choice("partition", partition, ("forms", "dirichlet"))
    arrays = read("digits")
    images = {"x": arrays["pixels"].astype(np.float32) / 16, "y": arrays["label"].astype(np.int32)}
    record = about("digits", "digit from an image", num_classes=10)
    if partition == "dirichlet":
        num_clients, alpha = 40 if num_clients is None else num_clients, 0.5 if alpha is None else alpha
        dealt = dirichlet(images["y"], num_clients, alpha, min_size=MIN_SIZE, seed=seed)
        return dealt.apply(images, seed=seed, about=record)
    for name, value in (("num_clients", num_clients), ("alpha", alpha)):
        if value is not None:
            raise PflError(f'{name}: expected none for the 14 forms, got {value}; add partition="dirichlet"')
    ids = tuple(f"form{number}" for number in range(1, len(arrays["form_rows"]) + 1))
    return Population.from_flat(images, edges(arrays["form_rows"]), ids, seed=seed, about=record)
