"""digits.npz: handwritten digits, form after form."""

import gzip
import zipfile

import numpy as np

from vendoring.source import Source

SOURCE = Source(
    package="scikit-learn",
    version="1.9.1",
    wheel="scikit_learn-1.9.1-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
    sha256="52a0703bbc07ad27f560fa63fa68e4c54dd735bfbbf65b4dd3c225dc7547b6df",
    licence="BSD-3-Clause",
    licence_member="scikit_learn-1.9.1.dist-info/licenses/COPYING",
    part="the handwritten digits sklearn/datasets/data/digits.csv.gz",
    changes="8-bit integers, cut into the forms on which they were written",
    authors="the scikit-learn developers; the data: E. Alpaydin and C. Kaynak",
)

# Everybody copied the same 130 digits, and some were lost: the labels repeat a text, and its beginnings are the
# borders. The source does not number forms or writers.
FORMS = (0, 130, 256, 386, 516, 646, 776, 906, 1029, 1157, 1287, 1415, 1545, 1667)
BEGINNING = "1234567890123456"  # after a 0, which one form lost


def arrays(wheel: zipfile.ZipFile) -> dict[str, np.ndarray]:
    """The arrays of digits.npz, as described in `pfljax.data.embedded.digits`."""
    text = gzip.decompress(wheel.read("sklearn/datasets/data/digits.csv.gz")).decode("ascii")
    table = np.array([[int(float(value)) for value in line.split(",")] for line in text.splitlines()], np.uint8)
    labels = "".join(map(str, table[:, -1]))
    for begin in FORMS:
        if BEGINNING not in labels[begin : begin + 17]:
            raise ValueError(f"row {begin}: expected a form that begins 0{BEGINNING}, got {labels[begin : begin + 17]}")
    return {
        "pixels": table[:, :-1].reshape(-1, 8, 8),
        "label": table[:, -1],
        "form_rows": np.diff([*FORMS, len(table)]).astype(np.uint8),
    }
