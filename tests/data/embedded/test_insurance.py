"""The embedded population insurance: rows of the source, years in order, nothing known only afterwards."""

import numpy as np
import pytest

from pfljax.data import embedded
from pfljax.data.embedded import files, insurance
from pfljax.data.population import Population

SPLITS = ("train", "validation", "test")
YEAR = list(insurance.SCALES).index("year")

# One year of one person as the source has it, in the order of SCALES.
PERSON, FIRST_YEAR = "person125869", "3.258096 0 6.907755 8.294049 1 0 0 9542.002 4.889802 0 13 1.386294 1 0"
HEALTH = "74.36826 13.73189 0 80.91723 0 0 0"


@pytest.fixture(scope="module")
def everybody() -> Population:
    return embedded.load("insurance", min_years=1)


def _raw(x: np.ndarray) -> np.ndarray:
    zero, one = np.array(list(insurance.SCALES.values())).T
    return x * one + zero


def test_rows_of_the_source(everybody):
    train = everybody.client(PERSON)
    expected = [float(value) for value in f"{FIRST_YEAR} {HEALTH}".split()]
    np.testing.assert_allclose(_raw(train["x"]), [expected], rtol=1e-5, atol=1e-5)
    assert train["y"].tolist() == [1.0]
    person = [everybody.client("person125024", split) for split in SPLITS]
    assert [part["y"].tolist() for part in person] == [[0, 2, 0], [0], [0]]
    ages = _raw(np.concatenate([part["x"] for part in person]))[:, list(insurance.SCALES).index("xage")]
    np.testing.assert_allclose(ages, 42.87748 + np.arange(5), rtol=1e-6)
    spend = embedded.load("insurance", target="spend", min_years=1)
    np.testing.assert_allclose(np.expm1(spend.client(PERSON)["y"]), [38.03887], rtol=1e-5)


def test_totals_of_the_source(everybody):
    assert (everybody.num_clients, everybody.num_rows) == (5912, 20_190)
    assert np.bincount(np.diff(everybody.offsets)).tolist() == [0, 269, 246, 3743, 70, 1584]
    assert everybody.arrays["y"].sum(dtype=np.float64) == 57_752
    spend = embedded.load("insurance", target="spend", min_years=1).arrays["y"].astype(np.float64)
    assert np.expm1(spend).sum() == pytest.approx(3_463_955.85, rel=1e-6)
    assert everybody.arrays["exposure"].min() == np.float32(0.0767123)
    assert everybody.arrays["exposure"].max() == 1


@pytest.mark.parametrize(
    ("least", "clients", "rows"),
    [
        (1, 5912, (9150, 5397, 5643)),
        (2, 5643, (8881, 5397, 5643)),
        (3, 5397, (8635, 5397, 5397)),
        (4, 1654, (4892, 1654, 1654)),
        (5, 1584, (4752, 1584, 1584)),
    ],
)
def test_counts(least, clients, rows):
    population = embedded.load("insurance", min_years=least)
    assert population.num_clients == clients
    assert tuple(int(population.sizes(split).sum()) for split in SPLITS) == rows
    assert population.sizes("train").min() == max(1, least - 2)
    assert set(population.sizes("test")) == ({0, 1} if least == 1 else {1})
    assert set(population.sizes("validation")) == ({0, 1} if least < 3 else {1})


def test_years_are_in_order_and_the_last_is_test(everybody):
    year = np.rint(_raw(everybody.arrays["x"])[:, YEAR]).astype(int)
    same_person = np.diff(np.repeat(np.arange(everybody.num_clients), np.diff(everybody.offsets))) == 0
    assert (np.diff(year)[same_person] >= 1).all()
    start, count = everybody.span("test")
    ends = everybody.offsets[1:]
    np.testing.assert_array_equal((start + count)[count > 0], ends[count > 0])


def test_inputs_are_known_beforehand(everybody):
    """No column that the year itself decides, and the same inputs whatever the target."""
    names = files.read("insurance")["names"].tolist()
    assert names == list(insurance.SCALES)
    assert not {"mdvis", "notmdvis", "meddol", "lnmeddol", "binexp", "outpdol", "inpdol", "time"} & set(names)
    spend = embedded.load("insurance", target="spend", min_years=1)
    np.testing.assert_array_equal(spend.arrays["x"], everybody.arrays["x"])


def test_arrays(everybody):
    arrays = everybody.arrays
    assert {name: (array.dtype.str, array.shape[1:]) for name, array in arrays.items()} == {
        "x": ("<f4", (21,)),
        "y": ("<f4", ()),
        "exposure": ("<f4", ()),
    }
    assert everybody.about.num_classes == 0
    assert np.abs(arrays["x"]).max() < 10
    assert (np.abs(arrays["x"].mean(axis=0)) < 0.7).all()
