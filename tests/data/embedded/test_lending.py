"""The embedded population lending: loans of the source, states, the shuffle."""

import numpy as np
import pytest

from pfljax.data import embedded
from pfljax.data.embedded import files, lending
from pfljax.data.population import Population

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def loans() -> Population:
    return embedded.load("lending")


def test_loans_of_the_source():
    """The first loan of Alaska, and totals over all loans."""
    arrays = files.read("lending")
    first = dict(zip(arrays["names"].tolist(), arrays["covariates"][0].tolist(), strict=True))
    assert (first["funded_amnt"], first["annual_inc"], first["total_bal_il"]) == (23_800, 25_000, 21_638)
    assert (first["term_60"], first["sub_grade"], first["emp_length"], first["emp_unknown"]) == (1, 24, 10, 0)
    assert (first["verified"], first["source_verified"], arrays["defaulted"][0]) == (1, 0, 0)
    assert (first["int_rate"], first["revol_util"]) == (np.float32(21.48), np.float32(54.8))
    total = dict(zip(arrays["names"].tolist(), arrays["covariates"].sum(axis=0, dtype=np.float64), strict=True))
    assert total["funded_amnt"] == 154_592_825
    assert (total["term_60"], total["source_verified"], total["verified"], total["emp_unknown"]) == (
        2810,
        3742,
        2681,
        645,
    )
    assert arrays["defaulted"].sum() == 517


def test_rows_are_the_scaled_covariates(loans):
    arrays = files.read("lending")
    rows = np.flatnonzero(np.repeat(arrays["state"], arrays["state_loans"]) == "VT")
    expected = []
    for row in rows:
        columns = dict(zip(arrays["names"].tolist(), arrays["covariates"][row].astype(float), strict=True))
        for name, unit in lending.LOGARITHMS.items():
            columns[name] = np.log(1 + columns[name] / unit)
        scaled = [(columns[name] - zero) / one for name, (zero, one) in lending.SCALES.items()]
        expected.append([*scaled, arrays["defaulted"][row]])
    parts = [loans.client("VT", split) for split in SPLITS]
    found = np.column_stack([np.concatenate([part[name] for part in parts]) for name in ("x", "y")])
    order = lambda table: table[np.lexsort(np.round(table, 3).T)]
    np.testing.assert_allclose(order(found), order(np.array(expected)), rtol=1e-5, atol=1e-5)


def test_counts(loans):
    assert (loans.ids[0], loans.ids[-1], len(loans.ids)) == ("AK", "WY", 50)
    sizes = dict(zip(loans.ids, np.diff(loans.offsets).tolist(), strict=True))
    assert (sizes["CA"], sizes["TX"], sizes["VT"]) == (1324, 900, 16)
    assert [int(loans.sizes(split).sum()) for split in SPLITS] == [5917, 1968, 1972]
    assert loans.arrays["x"].shape == (9857, 23)
    assert (loans.arrays["x"].dtype, loans.arrays["y"].dtype) == (np.float32, np.int32)
    assert loans.about.num_classes == 2
    assert int(loans.arrays["y"].sum()) == 517
    assert np.abs(loans.arrays["x"]).max() <= 11


def test_a_seed_deals_the_same_loans_anew(loans):
    other = embedded.load("lending", seed=1)
    for state in ("CA", "VT"):
        both = [np.concatenate([p.client(state, split)["x"] for split in SPLITS]) for p in (loans, other)]
        assert not np.array_equal(both[0], both[1])
        np.testing.assert_array_equal(both[0][np.lexsort(both[0].T)], both[1][np.lexsort(both[1].T)])
