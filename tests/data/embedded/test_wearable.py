"""The embedded population wearable: windows that share no sample, features against plain loops."""

import numpy as np
import pytest

from pfljax.data import embedded
from pfljax.data.embedded import files as vendored
from pfljax.data.embedded import wearable as wrists
from pfljax.data.population import Population

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def wearable() -> Population:
    return embedded.load("wearable")


def test_wearable_counts(wearable):
    assert (wearable.num_clients, wearable.num_rows) == (20, 4265)
    assert wearable.arrays["x"].shape == (4265, 30)
    assert wearable.arrays["x"].dtype == np.float32
    assert wearable.ids[:3] == ("subject1/left", "subject1/right", "subject2/left")
    assert (wearable.groups or ())[:3] == ("subject1", "subject1", "subject2")
    assert wearable.about.num_classes == len(embedded.exercises()) == 7
    for split in SPLITS:
        for client in wearable.ids:
            assert set(wearable.client(client, split)["y"]) == set(range(7))
    level = np.sqrt(np.mean(wearable.arrays["x"] ** 2, axis=0))
    assert 0.5 < level.min() < level.max() < 2.5


@pytest.mark.parametrize(("begin", "end"), [(0, 473), (473, 1782), (7, 264)])
def test_windows_of_two_splits_share_no_sample(begin, end):
    parts = wrists._window_starts(begin, end, 50)
    used = [{s for start in part for s in range(start, start + 50)} for part in parts]
    assert all(used)
    assert min(used[0]) == begin
    assert max(used[2]) < end
    assert max(used[0]) < min(used[1]) <= max(used[1]) < min(used[2])
    assert all((np.diff(part) == 25).all() for part in parts)


def test_rows_are_the_features_of_their_windows(wearable):
    """One client against plain loops: which rows, in which order, with which numbers."""
    arrays = vendored.read("wearable")
    edges = np.concatenate([[0], np.cumsum(arrays["series_samples"])])
    physical = arrays["samples"] / arrays["steps_per_unit"]
    unit = {"mean": [0.5, 0.25], "std": [0.5, 1.0], "min": [1.0, 2.0], "max": [1.0, 2.0], "rate": [2.5, 10.0]}
    for split, name in enumerate(SPLITS):
        part, row = wearable.client("subject3/left", name), 0
        for series in np.flatnonzero((arrays["subject"] == 3) & (arrays["side"] == 0)):
            for start in wrists._window_starts(edges[series], edges[series + 1], 50)[split]:
                window = physical[start : start + 50]
                expected = np.concatenate(
                    [
                        window.mean(axis=0) / np.repeat(unit["mean"], 3),
                        window.std(axis=0) / np.repeat(unit["std"], 3),
                        window.min(axis=0) / np.repeat(unit["min"], 3),
                        window.max(axis=0) / np.repeat(unit["max"], 3),
                        np.mean(np.abs(window[1:] - window[:-1]) * 25, axis=0) / np.repeat(unit["rate"], 3),
                    ]
                )
                np.testing.assert_allclose(part["x"][row], expected, rtol=1e-5, atol=1e-6)
                assert part["y"][row] == arrays["label"][series]
                row += 1
        assert row == len(part["y"])
