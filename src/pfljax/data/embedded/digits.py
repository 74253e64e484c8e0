"""`digits`: which digit an 8 x 8 image shows; a client is the form on which it was written.

The test part of UCI's optical recognition of handwritten digits. Its labels repeat one text 14 times, with
gaps: 14 forms, each from one hand. UCI speaks of 13 writers for this part, so one of them may have filled in
two; hence "form", not "writer".

digits.npz, in the order of the source:
  pixels [row, 8, 8] uint8 from 0 to 16, label [row], form_rows [form] how many rows are a form's
"""

import numpy as np

from pfljax.data.embedded.files import about, read
from pfljax.data.embedded.runs import edges
from pfljax.data.population import Population


def load(seed: int = 0) -> Population:
    """x: [image, 8, 8] float32 from 0 to 1; y: [image] int32, the digit.

    seed: shuffles each form's images before they are split 60/20/20, since all forms have the same order
    """
    arrays = read("digits")
    return Population.from_flat(
        {"x": arrays["pixels"].astype(np.float32) / 16, "y": arrays["label"].astype(np.int32)},
        edges(arrays["form_rows"]),
        tuple(f"form{number}" for number in range(1, len(arrays["form_rows"]) + 1)),
        split=(0.6, 0.2, 0.2),
        seed=seed,
        about=about("digits", "digit from an image", num_classes=10),
    )
