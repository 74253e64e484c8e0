"""The embedded population keyboard: counts, contexts, entries that stay whole and in one split."""

from collections import Counter
from functools import cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from pfljax.data import embedded
from pfljax.data.population import Population

SPLITS = ("train", "validation", "test")
VENDORED = Path(str(files("pfljax"))) / "data" / "vendored"


@pytest.fixture(scope="module")
def keyboard() -> Population:
    return embedded.load("keyboard")


def _strings(targets: np.ndarray) -> list[bytes]:
    """The strings that a run of examples spells, read back from their targets."""
    assert targets[-1] == embedded.BOUNDARY
    return targets.tobytes().split(b"\0")[:-1]


@cache
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
