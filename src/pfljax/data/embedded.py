"""`load`: the two real populations that come with the package, `keyboard` and `wearable`; nothing is downloaded.

The files in `vendored/` are read without pickle and only if their sha256 is the recorded one.

keyboard.npz: translated messages in the order of their catalogues, one client for each (language, app)
  tokens [character] uint8, string_characters [string], entry_strings [entry], client_entries [client],
  ids [client] such as "de/admin", characters [254] code points of the symbols 2..255
wearable.npz: one series for each (subject, side, exercise), sorted by them
  samples [sample, channel] int16 (steps_per_unit [channel] of them make 1 g or 1 rad/s), at `rate` Hz,
  series_samples [series], subject [series], side [series], label [series], names in channels, labels, sides
"""

import hashlib
import inspect
import io
import json
from collections.abc import Callable
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import pairwise
from typing import Any

import numpy as np

from pfljax.data.population import About, Population
from pfljax.errors import PflError, nearest

BOUNDARY = 0
OTHER = 1
FEWEST_CHARACTERS = 100

WINDOW_SECONDS = 2.0
STATISTICS = ("mean", "std", "min", "max", "rate")
# Round numbers of the size of arm movements, the same for everybody, so that nothing is fitted to any client:
# acceleration in g (rate: g/s) and rotation in rad/s (rate: rad/s^2) that become a feature of 1.
FEATURE_UNITS = {"mean": (0.5, 0.25), "std": (0.5, 1.0), "min": (1.0, 2.0), "max": (1.0, 2.0), "rate": (2.5, 10.0)}


def load(name: str, **options: Any) -> Population:
    """An embedded population: `load("keyboard")` or `load("wearable")`.

    keyboard: predict the next character of translated messages; a client is one (language, app) such as "de/admin".
      order: "entries" (default) shuffles a client's messages by a fixed rule, then splits them 60/20/20;
        "catalogue" keeps the order of the source, which puts other topics into test than into train
      context=6: how many previous symbols an example has
      min_characters=200: smaller clients are left out; 100 is the least
      hold_out: "client" (default), or "language" to hold out all clients of a language together ("es" with "es_MX")
    wearable: tell seven shoulder exercises apart by 2 s of a smartwatch's motion; a client is one wrist of a
      subject such as "subject3/left", and both wrists are held out together. No options.

    >>> load("wearable").num_clients
    20
    """
    if name not in _LOADERS:
        raise PflError(f"name: expected one of {', '.join(_LOADERS)}, got {name!r}{nearest(str(name), _LOADERS)}")
    known = list(inspect.signature(_LOADERS[name]).parameters)
    for option in options:
        if option not in known:
            expected = f"one of {', '.join(known)}" if known else "none"
            raise PflError(f"option of {name}: expected {expected}, got {option!r}{nearest(option, known)}")
    return _LOADERS[name](**options)


def characters() -> tuple[str, ...]:
    """The 256 symbols of `keyboard` by id; the boundary (0) is shown as "␃" and any other character (1) as "�".

    >>> "".join(characters()[token] for token in load("keyboard").client("en/auth")["y"][:12])
    'set password'
    """
    return ("␃", "�", *map(chr, _arrays("keyboard")["characters"]))


def exercises() -> tuple[str, ...]:
    """The 7 exercises of `wearable` by label.

    >>> exercises()[0]
    'pendulum'
    """
    return tuple(str(label) for label in _arrays("wearable")["labels"])


# ---- keyboard ----


def _keyboard(
    order: str = "entries", context: int = 6, min_characters: int = 200, hold_out: str = "client"
) -> Population:
    """x: [example, context] uint8, the symbols before y: [example] uint8; a string ends by predicting BOUNDARY.

    Contexts are padded with BOUNDARY and never reach into another string. OTHER stands for every character
    outside the vocabulary; as a target it says nothing and should carry no loss.
    """
    _choice("order", order, ("entries", "catalogue"))
    _choice("hold_out", hold_out, ("client", "language"))
    _at_least("context", context, 1)
    _at_least("min_characters", min_characters, FEWEST_CHARACTERS)
    arrays = _arrays("keyboard")
    lengths = arrays["string_characters"].astype(np.int64)
    strings_from = _edges(arrays["entry_strings"])  # [entry + 1] the entry's first string
    entries_from = _edges(arrays["client_entries"])  # [client + 1] the client's first entry
    size = np.add.reduceat(lengths, strings_from[entries_from[:-1]])
    clients = np.flatnonzero(size >= min_characters)
    if not len(clients):
        raise PflError(f"min_characters: expected at most {size.max()}, the largest client, got {min_characters}")
    ids = tuple(str(arrays["ids"][client]) for client in clients)

    entries = [_entry_order(str(arrays["ids"][c]), entries_from[c], entries_from[c + 1], order) for c in clients]
    rows = np.add.reduceat(lengths + 1, strings_from[:-1])  # [entry] its examples: characters and final boundaries
    chosen = np.concatenate(entries)
    strings = _ranges(strings_from[chosen], np.diff(strings_from)[chosen])
    x, y = _next_symbols(arrays["tokens"], _edges(lengths)[strings], lengths[strings], context)
    return Population(
        arrays={"x": x, "y": y},
        offsets=_edges([rows[mine].sum() for mine in entries]),
        bounds=np.stack([_cut_entries(rows[mine]) for mine in entries]),
        ids=ids,
        groups=tuple(name.split("/")[0].split("_")[0] for name in ids) if hold_out == "language" else None,
        about=_about("keyboard", "next character", num_classes=len(arrays["characters"]) + 2),
    )


def _entry_order(client_id: str, begin: int, end: int, order: str) -> np.ndarray:
    """[entry] int64: a client's entries as they are split; "entries" sorts by a hash, the same on every machine."""
    entries = np.arange(begin, end)
    if order == "catalogue":
        return entries
    keys = [hashlib.sha256(f"{client_id}:{index}".encode()).digest() for index in range(end - begin)]
    return entries[sorted(range(len(keys)), key=keys.__getitem__)]


def _cut_entries(rows: np.ndarray) -> np.ndarray:
    """[2] int64: the entry borders nearest to 60 % and 80 % of the rows that leave every split an entry."""
    after = np.cumsum(rows)
    first = int(np.argmin(np.abs(10 * after[:-2] - 6 * after[-1])))
    second = first + 1 + int(np.argmin(np.abs(10 * after[first + 1 : -1] - 8 * after[-1])))
    return after[[first, second]]


def _next_symbols(
    tokens: np.ndarray, begin: np.ndarray, lengths: np.ndarray, context: int
) -> tuple[np.ndarray, np.ndarray]:
    """(x: [example, context], y: [example]) uint8 of some strings; each gives its length + 1 examples."""
    ends = np.cumsum(lengths + 1) - 1
    y = np.zeros(int((lengths + 1).sum()), dtype=np.uint8)
    inside = np.ones(len(y), dtype=bool)
    inside[ends] = False
    y[inside] = tokens[_ranges(begin, lengths)]
    position = _ranges(np.zeros_like(lengths), lengths + 1)  # [example] counted from the start of its string
    x = np.zeros((len(y), context), dtype=np.uint8)
    for back in range(1, min(context, int(lengths.max())) + 1):
        x[back:, context - back] = np.where(position[back:] >= back, y[:-back], BOUNDARY)
    return x, y


# ---- wearable ----


def _wearable() -> Population:
    """x: [example, 30] float32, 5 statistics of 6 channels in FEATURE_UNITS; y: [example] int32, the exercise."""
    arrays = _arrays("wearable")
    length = round(WINDOW_SECONDS * int(arrays["rate"]))
    edges = _edges(arrays["series_samples"])
    wrists = sorted(set(zip(arrays["subject"].tolist(), arrays["side"].tolist(), strict=True)))
    starts, labels, counts = [], [], []
    for subject, side in wrists:
        series = np.flatnonzero((arrays["subject"] == subject) & (arrays["side"] == side))
        windows = [_window_starts(edges[s], edges[s + 1], length) for s in series]
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
        offsets=_edges(bounds[:, 2]),
        bounds=bounds[:, :2],
        ids=tuple(f"subject{subject}/{arrays['sides'][side]}" for subject, side in wrists),
        groups=tuple(f"subject{subject}" for subject, _ in wrists),
        about=_about("wearable", "exercise from wrist motion", num_classes=len(arrays["labels"])),
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


# ---- shared ----

_LOADERS: dict[str, Callable[..., Population]] = {"keyboard": _keyboard, "wearable": _wearable}


def _folder() -> Traversable:
    return files("pfljax") / "data" / "vendored"


def _record(name: str) -> dict[str, str]:
    """What checksums.json says of a data set: sha256, source, version, licence."""
    return json.loads((_folder() / "checksums.json").read_text(encoding="utf-8"))[f"{name}.npz"]


def _arrays(name: str) -> dict[str, np.ndarray]:
    """The arrays of vendored/<name>.npz; PflError if the file is not the recorded one."""
    content = (_folder() / f"{name}.npz").read_bytes()
    found, expected = hashlib.sha256(content).hexdigest(), _record(name)["sha256"]
    if found != expected:
        raise PflError(f"{name}.npz: expected sha256 {expected}, got {found}; the file is damaged, reinstall pfljax")
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return dict(archive)


def _about(name: str, task: str, num_classes: int) -> About:
    record = _record(name)
    source = f"{record['source']} {record['version']}"
    return About(name=name, task=task, num_classes=num_classes, source=source, licence=record["licence"])


def _edges(counts: Any) -> np.ndarray:
    """[item + 1] int64: where each of several consecutive runs begins, and the end."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def _ranges(begin: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """begin[0], begin[0] + 1, ... for counts[0] items, then from begin[1], and so on: [sum of counts] int64."""
    return np.arange(int(counts.sum())) + np.repeat(begin - _edges(counts)[:-1], counts)


def _choice(option: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise PflError(f"{option}: expected one of {', '.join(known)}, got {value!r}{nearest(str(value), known)}")


def _at_least(option: str, value: object, least: int) -> None:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise PflError(f"{option}: expected an integer of at least {least}, got {value!r}")
