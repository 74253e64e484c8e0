"""`purchases`: how much, or how soon, a customer of an online music shop buys next; a client is one customer.

CDNOW: everybody who first bought in early 1997, up to the middle of 1998. A row is a day with purchases.

purchases.npz, sorted by customer and day:
  customer [customer] the source's number, customer_purchases [customer] how many rows are theirs,
  day [row] from 1997-01-01 on, cds [row], cents [row]
"""

from typing import Literal

import numpy as np

from pfljax.data.embedded.files import about, choice, read
from pfljax.data.embedded.runs import edges
from pfljax.data.population import Population
from pfljax.errors import PflError, whole

# {input: (what becomes 0, its difference to what becomes 1)}: round numbers of the size of the thing, the same
# for everybody, so that nothing is fitted to any customer or time. Means are over all purchases so far. The
# calendar is no input: test is later than train, so a model would have to extrapolate it.
SCALES = {
    "amount": (3.0, 1.0),  # log of the last purchase's dollars
    "mean_amount": (3.0, 1.0),  # log of the mean
    "gap": (3.5, 1.5),  # log of the days between the last two purchases
    "mean_gap": (3.5, 1.5),  # log of the mean
    "is_first": (0.0, 1.0),  # there was one purchase so far, and no gap: both gaps are 0 after scaling
    "number": (1.5, 1.0),  # log of how many purchases so far
    "cds": (0.7, 0.7),  # log of the last purchase's CDs
    "mean_cds": (0.7, 0.7),  # log of the mean
}


def load(target: Literal["amount", "gap"] = "amount", min_purchases: int = 5) -> Population:
    """x: [purchase, 8] float32, a customer's past up to one purchase, in SCALES; y: [purchase] float32, of the next.

    A customer's n purchase days give n - 1 examples in the order of time, split 60/20/20 in that order.

    target: "amount" is the log of the next purchase's dollars; "gap" the log of the days until then. Only gaps
      that end before July 1998 are there, so late ones are shorter: a shift from train to test.
    min_purchases: customers with fewer purchase days are left out; 3 is the least
    """
    choice("target", target, ("amount", "gap"))
    whole("min_purchases", min_purchases, 3)
    arrays = read("purchases")
    number = arrays["customer_purchases"].astype(np.int64)
    kept = number >= min_purchases
    if not kept.any():
        raise PflError(f"min_purchases: expected at most {number.max()}, the most loyal customer, got {min_purchases}")
    rows, number = np.repeat(kept, number), number[kept]
    day, cds, cents = (arrays[name][rows].astype(np.int64) for name in ("day", "cds", "cents"))
    has_next = np.ones(len(day), bool)
    has_next[edges(number)[1:] - 1] = False
    then = np.flatnonzero(has_next) + 1
    y = np.log(cents[then] / 100) if target == "amount" else np.log(day[then] - day[then - 1])
    return Population.from_flat(
        {"x": _past(day, cds, cents, number)[has_next], "y": y.astype(np.float32)},
        edges(number - 1),
        tuple(f"customer{name}" for name in arrays["customer"][kept].tolist()),
        split=(0.6, 0.2, 0.2),
        seed=None,
        about=about("purchases", f"log {'dollars of' if target == 'amount' else 'days to'} the next purchase"),
    )


def _past(day: np.ndarray, cds: np.ndarray, cents: np.ndarray, number: np.ndarray) -> np.ndarray:
    """[row, 8] float32 in SCALES: what is known right after each purchase. Sums are of integers, hence exact."""
    first = np.repeat(edges(number)[:-1], number)  # [row] its customer's first row
    so_far = np.arange(len(day)) - first + 1
    is_first = so_far == 1
    gap = np.where(is_first, 1, np.diff(day, prepend=day[:1]))
    totals = {name: edges(column)[1:] - edges(column)[first] for name, column in (("cds", cds), ("cents", cents))}
    columns = {
        "amount": np.log(cents / 100),
        "mean_amount": np.log(totals["cents"] / (100 * so_far)),
        "gap": np.log(gap),
        "mean_gap": np.log(np.where(is_first, 1, day - day[first]) / np.maximum(so_far - 1, 1)),
        "is_first": is_first,
        "number": np.log(so_far),
        "cds": np.log(cds),
        "mean_cds": np.log(totals["cds"] / so_far),
    }
    scaled = {name: (columns[name] - zero) / one for name, (zero, one) in SCALES.items()}
    for name in ("gap", "mean_gap"):
        scaled[name] = np.where(is_first, 0.0, scaled[name])
    return np.stack(list(scaled.values()), axis=1).astype(np.float32)
