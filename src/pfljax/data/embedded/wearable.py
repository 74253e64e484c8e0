"""`wearable`: seven shoulder exercises from 2 s of a smartwatch's motion; a client is one wrist of a subject.

wearable.npz, one series for each (subject, side, exercise), sorted by them:
  samples [sample, channel] int16 (steps_per_unit [channel] of them make 1 g or 1 rad/s), at `rate` Hz,
  series_samples [series], subject [series], side [series], label [series], names in channels, labels, sides
"""

from itertools import pairwise

import numpy as np

from pfljax.data.embedded.files import about, read
from pfljax.data.embedded.runs import edges
from pfljax.data.population import Population

WINDOW_SECONDS = 2.0
STATISTICS = ("mean", "std", "min", "max", "rate")
# Round numbers of the size of arm movements, the same for everybody, so that nothing is fitted to any client:
# acceleration in g (rate: g/s) and rotation in rad/s (rate: rad/s^2) that become a feature of 1.
FEATURE_UNITS = {"mean": (0.5, 0.25), "std": (0.5, 1.0), "min": (1.0, 2.0), "max": (1.0, 2.0), "rate": (2.5, 10.0)}


def load() -> Population:
    """x: [example, 30] float32, 5 statistics of 6 channels in FEATURE_UNITS; y: [example] int32, the exercise."""
    arrays = read("wearable")
    length = round(WINDOW_SECONDS * int(arrays["rate"]))
    series_from = edges(arrays["series_samples"])
    wrists = sorted(set(zip(arrays["subject"].tolist(), arrays["side"].tolist(), strict=True)))
    starts, labels, counts = [], [], []
    for subject, side in wrists:
        series = np.flatnonzero((arrays["subject"] == subject) & (arrays["side"] == side))
        windows = [_window_starts(series_from[s], series_from[s + 1], length) for s in series]
        for split in range(3):
            parts = [window[split] for window in windows]
            starts.extend(parts)
            labels.extend(np.full(len(part), arrays["label"][s]) for part, s in zip(parts, series, strict=True))
            counts.append(sum(len(part) for part in parts))
    bounds = np.cumsum(np.reshape(counts, (-1, 3)), axis=1)
    windows = arrays["samples"][np.concatenate(starts)[:, None] + np.arange(length)]
    return Population(
        arrays={
            "x": _features(windows, arrays["steps_per_unit"], int(arrays["rate"])),
            "y": np.concatenate(labels).astype(np.int32),
        },
        offsets=edges(bounds[:, 2]),
        bounds=bounds[:, :2],
        ids=tuple(f"subject{subject}/{arrays['sides'][side]}" for subject, side in wrists),
        groups=tuple(f"subject{subject}" for subject, _ in wrists),
        about=about("wearable", "exercise from wrist motion", num_classes=len(arrays["labels"])),
    )


def _window_starts(begin: int, end: int, length: int) -> list[np.ndarray]:
    """[3][window] int64: first samples of the half-overlapping windows of a series' train, validation and test part.

    The series is cut in time first, so that no window crosses a border and no sample is in two splits.
    """
    cuts = [begin + (end - begin) * tenths // 10 for tenths in (0, 6, 8, 10)]
    return [np.arange(a, b - length + 1, length // 2) for a, b in pairwise(cuts)]


def _features(windows: np.ndarray, steps_per_unit: np.ndarray, rate: int) -> np.ndarray:
    """[window, 5 * channel] float32 of [window, sample, channel] int16: all means, then all stds, min, max, rates.

    The sums are of integers, so the features have the same bits on every machine.
    """
    steps = windows.astype(np.int64)
    n = steps.shape[1]
    total, squares = steps.sum(axis=1), (steps**2).sum(axis=1)
    change = np.abs(np.diff(steps, axis=1)).sum(axis=1)
    columns = {
        "mean": total / n,
        "std": np.sqrt(n * squares - total**2) / n,
        "min": steps.min(axis=1),
        "max": steps.max(axis=1),
        "rate": change / (n - 1) * rate,
    }
    units = {name: np.repeat(FEATURE_UNITS[name], 3) * steps_per_unit for name in STATISTICS}
    return np.concatenate([columns[name] / units[name] for name in STATISTICS], axis=1).astype(np.float32)


def exercises() -> tuple[str, ...]:
    """The 7 exercises of `wearable` by label.

    >>> exercises()[0]
    'pendulum'
    """
    return tuple(str(label) for label in read("wearable")["labels"])
