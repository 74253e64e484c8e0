"""wearable.npz: smartwatch recordings of shoulder exercises at half their rate."""

import io
import zipfile

import numpy as np

from vendoring.source import Source

SIDES = ("left", "right")
EXERCISES = {
    "PEN": "pendulum",
    "ABD": "abduction",
    "FEL": "forward elevation",
    "IR": "internal rotation",
    "ER": "external rotation",
    "TRAP": "lower trapezius row",
    "ROW": "bent-over row",
}
RATE = 25  # Hz, half the rate of the source
STEPS_PER_UNIT = (4096, 4096, 4096, 1024, 1024, 1024)  # int16 steps per g (to 8 g) and per rad/s (to 32 rad/s)

SOURCE = Source(
    package="seglearn",
    version="1.2.5",
    wheel="seglearn-1.2.5-py3-none-any.whl",
    sha256="ec6b952c85c9627050102854b372d85951563d3b990df677d7c55547e87413dd",
    licence="BSD-3-Clause",
    licence_member="seglearn-1.2.5.dist-info/LICENSE",
    part="the smartwatch recordings seglearn/data/watch_dataset.npy",
    changes=f"averaged in pairs from 50 Hz to {RATE} Hz, rounded to 16-bit integers, "
    "sorted by subject, side and exercise",
    authors="David M. Burns",
)


def halve_rate(series: np.ndarray) -> np.ndarray:
    """[sample / 2, channel]: means of successive pairs, so that no sample is used twice."""
    even = len(series) // 2 * 2
    return (series[0:even:2] + series[1:even:2]) / 2


def arrays(wheel: zipfile.ZipFile) -> dict[str, np.ndarray]:
    """The arrays of wearable.npz, as described in `pfljax.data.embedded.wearable`."""
    # The source is a pickle; the wheel's sha256 was checked, and nobody else has to unpickle it.
    data = np.load(io.BytesIO(wheel.read("seglearn/data/watch_dataset.npy")), allow_pickle=True).item()
    order = np.lexsort((data["y"], data["side"], data["subject"]))
    steps = [np.rint(halve_rate(data["X"][index]) * STEPS_PER_UNIT) for index in order]
    samples = np.concatenate(steps)
    if np.abs(samples).max() > np.iinfo(np.int16).max:
        raise ValueError(f"samples: expected steps within int16, got {np.abs(samples).max()}")
    return {
        "samples": samples.astype(np.int16),
        "series_samples": np.array([len(series) for series in steps], dtype=np.int32),
        "subject": data["subject"][order].astype(np.uint8),
        "side": data["side"][order].astype(np.uint8),
        "label": data["y"][order].astype(np.uint8),
        "steps_per_unit": np.array(STEPS_PER_UNIT, dtype=np.int32),
        "rate": np.array(RATE, dtype=np.int32),
        "channels": np.array(data["X_labels"]),
        "labels": np.array([EXERCISES[code] for code in data["y_labels"]]),
        "sides": np.array(SIDES),
    }
