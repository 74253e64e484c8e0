"""The two embedded populations: files, counts, splits without leaks, errors."""

import hashlib
import json
from collections import Counter
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from pfljax.data import embedded
from pfljax.data.embedded import files as vendored
from pfljax.data.embedded import wearable as wrists
from pfljax.data.population import Population
from pfljax.errors import PflError

SPLITS = ("train", "validation", "test")
VENDORED = Path(str(files("pfljax"))) / "data" / "vendored"


@pytest.fixture(scope="module")
def keyboard() -> Population:
    return embedded.load("keyboard")


@pytest.fixture(scope="module")
def wearable() -> Population:
    return embedded.load("wearable")


def _strings(targets: np.ndarray) -> list[bytes]:
    """The strings that a run of examples spells, read back from their targets."""
    assert targets[-1] == embedded.BOUNDARY
    return targets.tobytes().split(b"\0")[:-1]


def _stored_entries() -> dict[str, list[list[bytes]]]:
    """{client: [entry][string]} read from keyboard.npz by plain loops."""
    with np.load(VENDORED / "keyboard.npz", allow_pickle=False) as archive:
        arrays = dict(archive)
    tokens, at, string, entry, clients = arrays["tokens"].tobytes(), 0, 0, 0, {}
    for name, entries in zip(arrays["ids"].tolist(), arrays["client_entries"].tolist(), strict=True):
        clients[name] = []
        for count in arrays["entry_strings"][entry : entry + entries].tolist():
            lengths = arrays["string_characters"][string : string + count].tolist()
            cuts = [at, *(at + int(end) for end in np.cumsum(lengths))]
            clients[name].append([tokens[a:b] for a, b in pairwise(cuts)])
            string, at = string + count, cuts[-1]
        entry += entries
    return clients


# ---- files ----


@pytest.mark.parametrize("name", embedded.LOADERS)
def test_files_are_the_recorded_ones_and_need_no_pickle(name):
    record = json.loads((VENDORED / "checksums.json").read_text(encoding="utf-8"))[f"{name}.npz"]
    assert hashlib.sha256((VENDORED / f"{name}.npz").read_bytes()).hexdigest() == record["sha256"]
    with np.load(VENDORED / f"{name}.npz", allow_pickle=False) as archive:
        assert all(archive[key].dtype.kind in "iufU" for key in archive)


def test_files_are_small():
    assert sum(path.stat().st_size for path in VENDORED.iterdir()) < 5_000_000


def test_notice_names_sources_authors_and_licences():
    notice = (VENDORED / "NOTICE").read_text(encoding="utf-8")
    records = json.loads((VENDORED / "checksums.json").read_text(encoding="utf-8"))
    assert set(records) == {f"{name}.npz" for name in embedded.LOADERS}
    for name, record in records.items():
        section = notice.split(f"\n{name}\n", 1)[1].split(".npz\n", 1)[0]
        assert f"Source: {record['source']} {record['version']}, " in section
        assert f"Licence: {record['licence']}" in section
        assert "in full:" in section
    for words in (
        "Copyright (c) Django Software Foundation and individual contributors.",
        "Copyright (c) 2018, David M. Burns",
        "Copyright 2019 Sean Stewart",
        "Copyright 2019 Max Kuhn, RStudio",
        "statsmodels Developers",
        "Copyright (c) 2015, Cameron Davidson-Pilon",
        "The scikit-learn developers.",
        "by way of A. C. Cameron and P. K. Trivedi",
        "P. S. Fader and B. G. S. Hardie",
        "E. Alpaydin and C. Kaynak",
    ):
        assert words in notice
    notice = " ".join(notice.split())
    assert notice.count("OF THE POSSIBILITY OF SUCH DAMAGE.") == 4
    assert notice.count("The above copyright notice and this permission notice shall be included in all copies or") == 3
    assert "GCC" not in notice


def test_a_damaged_file_is_refused(tmp_path, monkeypatch):
    content = bytearray((VENDORED / "wearable.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "wearable.npz").write_bytes(content)
    (tmp_path / "checksums.json").write_bytes((VENDORED / "checksums.json").read_bytes())
    monkeypatch.setattr(vendored, "folder", lambda: tmp_path)
    with pytest.raises(PflError, match="damaged"):
        embedded.load("wearable")


# ---- keyboard ----


@pytest.mark.parametrize(
    ("least", "clients", "rows"),
    [(100, 705, 1_613_765), (200, 664, 1_607_869), (300, 533, 1_575_459), (500, 490, 1_555_841)],
)
def test_keyboard_counts(least, clients, rows):
    population = embedded.load("keyboard", min_characters=least, context=1)
    assert (population.num_clients, population.num_rows) == (clients, rows)
    assert all(population.sizes(split).min() >= 1 for split in SPLITS)


def test_keyboard_arrays(keyboard):
    assert keyboard.arrays["x"].shape == (keyboard.num_rows, 6)
    assert {array.dtype for array in keyboard.arrays.values()} == {np.dtype(np.uint8)}
    assert keyboard.about.num_classes == len(embedded.characters()) == len(set(embedded.characters())) == 256
    assert (keyboard.about.name, keyboard.about.licence) == ("keyboard", "BSD-3-Clause")
    assert keyboard.groups is None
    shares = np.array([keyboard.sizes(split).sum() for split in SPLITS]) / keyboard.num_rows
    np.testing.assert_allclose(shares, [0.6, 0.2, 0.2], atol=0.002)
    assert np.mean(keyboard.arrays["y"] == embedded.OTHER) < 0.002


def test_keyboard_spells_messages():
    symbols = embedded.characters()
    population = embedded.load("keyboard", order="catalogue")
    spelt = "".join(symbols[token] for token in population.client("de/auth")["y"])
    assert spelt.startswith("persönliche informationen␃berechtigungen␃wichtige daten␃")


@pytest.mark.parametrize("order", ["entries", "catalogue"])
@pytest.mark.parametrize("context", [1, 3, 500])
def test_contexts_stay_inside_their_string(order, context):
    population = embedded.load("keyboard", order=order, context=context, min_characters=11_000)
    for client in population.ids[:2]:
        for split in SPLITS:
            part = population.client(client, split)
            row = 0
            for string in _strings(part["y"]):
                for position in range(len(string) + 1):
                    before = string[max(0, position - context) : position].rjust(context, b"\0")
                    assert part["x"][row].tobytes() == before
                    row += 1
            assert row == len(part["y"])


@pytest.mark.parametrize("order", ["entries", "catalogue"])
def test_entries_are_whole_and_in_one_split(order):
    """Also: plural forms stay together, and no string is in two splits of a client."""
    population = embedded.load("keyboard", order=order, context=1, min_characters=100)
    stored = _stored_entries()
    assert set(population.ids) == set(stored)
    for client in population.ids:
        home = {}
        for split in SPLITS:
            for string in _strings(population.client(client, split)["y"]):
                # A character outside the vocabulary hides differences, so such strings may look alike.
                assert home.setdefault(string, split) == split or embedded.OTHER in string
        spelt = Counter(string for part in SPLITS for string in _strings(population.client(client, part)["y"]))
        assert spelt == Counter(string for entry in stored[client] for string in entry)
        for entry in stored[client]:
            clear = [string for string in entry if embedded.OTHER not in string]
            assert len({home[string] for string in clear}) <= 1


def test_plural_forms_exist_and_follow_each_other(keyboard):
    stored = _stored_entries()["pl/core"]
    spelt = _strings(np.concatenate([keyboard.client("pl/core", split)["y"] for split in SPLITS]))
    plurals = [entry for entry in stored if len(entry) > 1]
    assert len(plurals) >= 10
    assert all(entry in [spelt[i : i + len(entry)] for i in range(len(spelt))] for entry in plurals)


def test_orders_differ_only_in_order(keyboard):
    other = embedded.load("keyboard", order="catalogue")
    assert other.ids == keyboard.ids
    np.testing.assert_array_equal(other.offsets, keyboard.offsets)
    for client in ("de/admin", "ar/core", "en/auth"):
        both = [
            _strings(np.concatenate([population.client(client, split)["y"] for split in SPLITS]))
            for population in (keyboard, other)
        ]
        assert both[0] != both[1]
        assert sorted(both[0]) == sorted(both[1])
        assert both[1] == [string for entry in _stored_entries()[client] for string in entry]


def test_hold_out_by_language_joins_variants():
    population = embedded.load("keyboard", hold_out="language", context=1)
    groups = dict(zip(population.ids, population.groups or (), strict=True))
    assert groups["es_MX/admin"] == groups["es/auth"] == "es"
    assert groups["sr_Latn/admin"] == groups["sr/core"] == "sr"
    assert len(set(groups.values())) == 68


# ---- wearable ----


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


# ---- both ----


def test_the_same_everywhere(keyboard, wearable):
    """Pinned, so that a new numpy or another machine cannot quietly change the data."""
    assert keyboard.checksum() == embedded.load("keyboard").checksum()
    assert wearable.checksum() == embedded.load("wearable").checksum()
    assert keyboard.checksum().startswith("4c41711d5cf3eb3a")
    assert wearable.checksum().startswith("ecc1a47557e2408f")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("keybord", {}, "expected one of keyboard, plays, wearable, .*got 'keybord', did you mean 'keyboard'"),
        ("keyboard", {"ordre": "entries"}, "got 'ordre', did you mean 'order'"),
        ("keyboard", {"order": "catalog"}, "got 'catalog', did you mean 'catalogue'"),
        ("keyboard", {"hold_out": "lang"}, "expected one of client, language, got 'lang'"),
        ("keyboard", {"context": 0}, "context: expected a whole number of at least 1, got 0"),
        ("keyboard", {"context": 2.5}, "expected a whole number"),
        ("keyboard", {"min_characters": 99}, "at least 100, got 99"),
        ("keyboard", {"min_characters": 10**6}, "expected at most 11280"),
        ("wearable", {"context": 6}, "option of wearable: expected none, got 'context'"),
    ],
)
def test_wrong_requests_say_what_was_expected(name, options, message):
    with pytest.raises(PflError, match=message):
        embedded.load(name, **options)
