"""The embedded population purchases: inputs against plain loops, and nothing of the future in them."""

from math import log

import numpy as np
import pytest

from pfljax.data import embedded
from pfljax.data.embedded import files, purchases

SPLITS = ("train", "validation", "test")


def _stored() -> dict[str, list[tuple[int, int, int]]]:
    """{client: [(day, cds, cents)]} read from purchases.npz by a plain loop."""
    arrays, at, found = files.read("purchases"), 0, {}
    rows = list(zip(*(arrays[name].tolist() for name in ("day", "cds", "cents")), strict=True))
    for customer, count in zip(arrays["customer"].tolist(), arrays["customer_purchases"].tolist(), strict=True):
        found[f"customer{customer}"] = rows[at : at + count]
        at += count
    return found


def _expected(past: list[tuple[int, int, int]]) -> list[float]:
    """One row of inputs from the purchases up to it."""
    days, cds, cents = zip(*past, strict=True)
    n, first = len(past), len(past) == 1
    raw = {
        "amount": log(cents[-1] / 100),
        "mean_amount": log(sum(cents) / n / 100),
        "gap": 3.5 if first else log(days[-1] - days[-2]),
        "mean_gap": 3.5 if first else log((days[-1] - days[0]) / (n - 1)),
        "is_first": float(first),
        "number": log(n),
        "cds": log(cds[-1]),
        "mean_cds": log(sum(cds) / n),
    }
    return [(raw[name] - zero) / one for name, (zero, one) in purchases.SCALES.items()]


def test_a_customer_of_the_source():
    """Customer 00003: six purchase days, so five examples; the amounts as the source prints them."""
    population = embedded.load("purchases")
    amounts = [np.exp(population.client("customer3", split)["y"]) for split in SPLITS]
    for found, expected in zip(amounts, ([20.76, 19.54, 57.45], [20.96], [16.99]), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    gaps = embedded.load("purchases", target="gap")
    found = np.exp(np.concatenate([gaps.client("customer3", split)["y"] for split in SPLITS]))
    np.testing.assert_allclose(found, [87, 3, 227, 10, 184], rtol=1e-6)


def test_days_are_merged_and_free_ones_dropped():
    stored = _stored()
    assert stored["customer374"] == [(1, 1, 1397), (32, 4, 4847), (375, 1, 1499), (444, 4, 6846), (529, 7, 10193)]
    assert [cents for _, _, cents in stored["customer3858"]] == [649, 2992, 1399, 1649, 1188, 4097]
    assert (len(stored), sum(map(len, stored.values()))) == (23_502, 67_511)
    assert min(cents for past in stored.values() for _, _, cents in past) > 0


@pytest.mark.parametrize("target", ["amount", "gap"])
def test_rows_against_plain_loops(target):
    population = embedded.load("purchases", target=target)
    stored = _stored()
    for client in (*population.ids[:40], *population.ids[-3:]):
        parts = [population.client(client, split) for split in SPLITS]
        past = stored[client]
        x, y = (np.concatenate([part[name] for part in parts]) for name in ("x", "y"))
        np.testing.assert_allclose(x, [_expected(past[:n]) for n in range(1, len(past))], rtol=1e-5, atol=1e-6)
        pairs = list(zip(past[1:], past[:-1], strict=True))
        expected = [log(b[2] / 100) if target == "amount" else log(b[0] - a[0]) for b, a in pairs]
        np.testing.assert_allclose(y, expected, rtol=1e-6)


@pytest.mark.parametrize(("least", "clients", "rows"), [(3, 7473, 39_969), (4, 5270, None), (5, 3835, 31_258)])
def test_counts(least, clients, rows):
    population = embedded.load("purchases", min_purchases=least)
    assert population.num_clients == clients
    assert rows in (None, population.num_rows)
    assert set(population.ids) == {name for name, past in _stored().items() if len(past) >= least}
    assert np.diff(population.offsets).min() == least - 1


def test_splits_are_60_20_20_in_time():
    population = embedded.load("purchases")
    assert [int(population.sizes(split).sum()) for split in SPLITS] == [18_482, 6454, 6322]
    number = population.arrays["x"][:, list(purchases.SCALES).index("number")]
    client = np.repeat(np.arange(population.num_clients), np.diff(population.offsets))
    assert (np.diff(number)[np.diff(client) == 0] > 0).all()


def test_the_future_is_not_in_the_inputs():
    """Whatever a customer's last purchase was, the inputs of all earlier rows stay as they are."""
    day, cds, cents, number = np.array([0, 9, 50, 4, 8]), np.arange(1, 6), np.arange(100, 600, 100), np.array([3, 2])
    before = purchases._past(day, cds, cents, number)
    last = np.array([False, False, True, False, True])
    after = purchases._past(day + 7 * last, cds + 3 * last, cents + 999 * last, number)
    np.testing.assert_array_equal(after[~last], before[~last])
    assert (after[last] != before[last]).any(axis=1).all()


def test_arrays():
    population = embedded.load("purchases")
    assert population.arrays["x"].shape == (31_258, 8)
    assert {array.dtype.str for array in population.arrays.values()} == {"<f4"}
    assert population.about.num_classes == 0
    assert np.abs(population.arrays["x"]).max() < 6
