"""`from_tfds`: a prepared TFDS data set as a population."""

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pfljax.data import split as shares_of
from pfljax.data.partition.record import Partition
from pfljax.data.population import About, Population
from pfljax.data.tfds import features, source
from pfljax.data.tfds.stack import Stack, arranged, stack
from pfljax.errors import PflError, nearest, whole

ROLES = ("train", "validation", "test")


def from_tfds(
    name: Any,
    split: str | Mapping[str, str] = "train",
    *,
    client_key: str | None = None,
    parse: Callable[[str], str] | None = None,
    group_key: str | None = None,
    partition: Partition | Callable[[np.ndarray], Partition] | None = None,
    arrays: Mapping[str, str] | None = None,
    shares: shares_of.Shares = (0.6, 0.2, 0.2),
    seed: int | None = None,
    min_rows: int = 1,
    data_dir: str | os.PathLike | None = None,
    about: About | None = None,
) -> Population:
    """A population from a data set that TFDS has prepared; nothing is downloaded, TensorFlow is not needed.

    name: as `tfds.builder` takes it ("emnist/byclass:3.1.0", looked for in `data_dir`), a prepared directory, a builder
    split: a TFDS split ("train", "train[:80%]+test"), whose rows are cut by `shares` client by client; or
      {"train": split, "validation": split, "test": split}, which are taken as they are
    client_key: the feature that says whose row it is (Text, ClassLabel or whole number), by its path
      ("data/customer_id"); `parse` makes a client's id of its text: `lambda name: name.split("_")[0]`
    group_key: the feature whose value clients share that are held out together
    partition: where no feature says whose a row is: a `Partition`, or a function from labels (array "y") to one
    arrays: {array: feature path}, {"x": "image", "y": "label"} say; by default every feature of numbers in a fixed
      shape under its own path, but the keys
    seed: None leaves a client's rows in the order of the files, which TFDS has shuffled unless the data set
      forbids it; a number shuffles them before they are cut, which copies them into memory
    min_rows: clients with fewer rows are left out

    Clients stand in the order in which they first appear. What was read is kept in the user's cache folder and mapped
    into memory, so a second call takes a second; without a seed and a partition nothing is copied.

    Raises PflError for what is not prepared, with the command that prepares it; for `parquet` files, whose writer loses
    rows; for `tfrecord` files where tensorflow is missing; for a number of rows that is not the recorded one; for keys
    and features that are missing or of the wrong kind; for a split that is empty or in which a row is twice.
    """
    if (client_key is None) == (partition is None):
        got = "none" if partition is None else "both"
        raise PflError(f"client_key, partition: expected one of them to say whose a row is, got {got}")
    if client_key is None and (parse is not None or group_key is not None):
        raise PflError("parse, group_key: expected them beside a client_key only, got a partition")
    whole("min_rows", min_rows)
    shares_of.check(shares, seed)
    if not (partition is None or isinstance(partition, Partition) or callable(partition)):
        raise PflError(f"partition: expected a Partition or a function from labels to one, got {partition!r}")
    splits = _roles(split)
    if splits and (partition is not None or seed is not None):
        raise PflError(
            "split: expected one name where rows are dealt or shuffled anew, got a split for each of "
            f"{', '.join(splits)}; join them as {'+'.join(splits.values())!r}"
        )
    builder = source.opened(name, data_dir)
    names = tuple(splits.values()) or (str(split),)
    source.check_disjoint(builder, names)
    known = features.columns(builder.info.features)
    wanted = {"client_key": client_key, "group_key": group_key}
    keys = {key: features.key_column(known, key, path) for key, path in wanted.items() if path is not None}
    chosen = features.chosen(known, arrays, [column.path for column in keys.values()])
    about = about or _about(builder, chosen)
    rows = stack(builder, names, chosen, keys)
    if partition is not None:
        return _dealt(rows, partition, shares, seed, about)
    ids, client = _clients(rows, parse)
    return _by_key(rows, ids, client, splits, shares, seed, min_rows, about)


def _roles(split: str | Mapping[str, str]) -> dict[str, str]:
    """{role: TFDS split} in the order of `ROLES`; empty if `split` is one name."""
    if not isinstance(split, Mapping):
        return {}
    for role in split:
        if role not in ROLES:
            raise PflError(f"split: expected {', '.join(ROLES)} as keys, got {role!r}{nearest(str(role), ROLES)}")
    if "train" not in split:
        raise PflError(f"split: expected a 'train' among its keys, got {', '.join(map(repr, split)) or 'none'}")
    return {role: split[role] for role in ROLES if role in split}


def _about(builder: Any, chosen: Mapping[str, features.Column]) -> About:
    info = builder.info
    said = dict(info.metadata) if isinstance(info.metadata, Mapping) else {}
    classes = features.num_classes(chosen["y"].feature) if "y" in chosen else 0
    return About(
        name=builder.name,
        task=str(said.get("task", "")),
        num_classes=classes or int(said.get("num_classes", 0)),
        source=f"TFDS {info.full_name}",
        licence=info.redistribution_info.license,
    )


def _clients(rows: Stack, parse: Callable[[str], str] | None) -> tuple[tuple[str, ...], np.ndarray]:
    """(ids, [row] int64 positions in them), clients as they first appear."""
    places: dict[str, int] = {}
    of_value = []
    for text in rows.values["client_key"]:
        of_value.append(places.setdefault(text if parse is None else _parsed(parse, text), len(places)))
    return tuple(places), np.array(of_value, np.int64)[rows.codes["client_key"]]


def _parsed(parse: Callable[[str], str], text: str) -> str:
    try:
        name = parse(text)
    except Exception as error:  # the caller's own function
        raise PflError(f"parse: expected a client's id from {text!r}, got {type(error).__name__}: {error}") from error
    if not isinstance(name, str) or not name:
        raise PflError(f"parse: expected a client's id, a text, from {text!r}, got {name!r}")
    return name


def _by_key(
    rows: Stack,
    ids: tuple[str, ...],
    client: np.ndarray,
    splits: Mapping[str, str],
    shares: shares_of.Shares,
    seed: int | None,
    min_rows: int,
    about: About,
) -> Population:
    sizes = np.bincount(client, minlength=len(ids))
    kept = np.flatnonzero(sizes >= min_rows)
    if not len(kept):
        raise PflError(f"min_rows: expected at most {sizes.max()}, the rows of the largest client, got {min_rows}")
    here = np.flatnonzero((sizes >= min_rows)[client])
    order = here[np.argsort(client[here], kind="stable")]
    offsets = np.concatenate([[0], np.cumsum(sizes[kept])])
    ids = tuple(ids[index] for index in kept)
    groups = _groups(rows, order, offsets, ids)
    if not splits:
        if shares[2] > 0 and sizes[kept].min() < 2:
            bad = ids[int(np.argmin(sizes[kept]))]
            raise PflError(
                f"client {bad!r}: expected at least 2 rows (train and test), got 1; min_rows=2 leaves it out"
            )
        return Population.from_flat(arranged(rows, order), offsets, ids, shares, seed, groups=groups, about=about)
    role = np.repeat([ROLES.index(role) for role in splits], rows.counts)  # [row]
    counts = np.bincount(client * 3 + role, minlength=3 * len(sizes)).reshape(-1, 3)[kept]
    if not counts[:, 0].all():
        bad = int(np.argmin(counts[:, 0]))
        raise PflError(
            f"client {ids[bad]!r}: expected rows in the train split {splits['train']!r}, got none there and "
            f"{counts[bad].sum()} in others; cut every client's rows anew with split={'+'.join(splits.values())!r}"
        )
    bounds = np.cumsum(counts, axis=1)[:, :2]
    return Population(arranged(rows, order), offsets, bounds, ids, groups, about)


def _groups(rows: Stack, order: np.ndarray, offsets: np.ndarray, ids: tuple[str, ...]) -> tuple[str, ...] | None:
    if "group_key" not in rows.codes:
        return None
    codes, values = rows.codes["group_key"][order], rows.values["group_key"]
    first = codes[offsets[:-1]]
    other = codes != np.repeat(first, np.diff(offsets))
    if other.any():
        row = int(np.argmax(other))
        bad = int(np.searchsorted(offsets, row, side="right")) - 1
        raise PflError(
            f"client {ids[bad]!r}: expected one group_key in all its rows, got {values[first[bad]]!r} and "
            f"{values[codes[row]]!r}"
        )
    return tuple(values[code] for code in first)


def _dealt(
    rows: Stack,
    partition: Partition | Callable[[np.ndarray], Partition],
    shares: shares_of.Shares,
    seed: int | None,
    about: About,
) -> Population:
    if not isinstance(partition, Partition):
        if "y" not in rows.arrays:
            raise PflError(
                f"partition: expected an array 'y', whose labels it deals by, got {', '.join(rows.arrays)}; "
                "name the feature with arrays={'y': ...}"
            )
        partition = partition(rows.arrays["y"])
        if not isinstance(partition, Partition):
            raise PflError(f"partition: expected its result to be a Partition, got a {type(partition).__name__}")
    return partition.apply(rows.arrays, shares, seed, about=about)
