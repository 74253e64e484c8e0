"""The embedded population plays: whole speeches in the order of the play, contexts that stay inside them."""

import numpy as np
import pytest

from pfljax.data import embedded
from pfljax.data.embedded import files
from pfljax.data.population import Population

SPLITS = ("train", "validation", "test")
SYMBOLS = np.array(embedded.characters("plays"))


@pytest.fixture(scope="module")
def plays() -> Population:
    return embedded.load("plays", min_characters=20_000)


def _said(population: Population, client: str, split: str) -> list[str]:
    spelt = "".join(SYMBOLS[population.client(client, split)["y"]])
    assert spelt.endswith("␃")
    return spelt.split("␃")[:-1]


@pytest.mark.parametrize(("least", "clients", "rows"), [(500, 805, 4_286_338), (20_000, 35, 1_006_218)])
def test_counts(least, clients, rows):
    population = embedded.load("plays", min_characters=least, context=1)
    assert (population.num_clients, population.num_rows) == (clients, rows)


def test_hamlet_speaks_in_the_order_of_the_play(plays):
    assert _said(plays, "hamlet/HAMLET", "train")[:2] == [
        "A little more than kin, and less than kind.",
        "Not so, my lord; I am too much i' the sun.",
    ]
    assert _said(plays, "hamlet/HAMLET", "test")[-1].endswith("The rest is silence.")
    question = [
        split for split in SPLITS if any("To be, or not to be:" in s for s in _said(plays, "hamlet/HAMLET", split))
    ]
    assert question == ["train"]


def test_speeches_are_whole_and_in_order(plays):
    arrays = files.read("plays")
    cuts = np.cumsum([0, *arrays["speech_characters"].tolist()])
    first = np.cumsum([0, *arrays["client_speeches"].tolist()])
    stored = {name: (first[c], first[c + 1]) for c, name in enumerate(arrays["ids"].tolist())}
    for client in plays.ids[::6]:
        begin, end = stored[client]
        expected = ["".join(SYMBOLS[arrays["tokens"][cuts[s] : cuts[s + 1]]]) for s in range(begin, end)]
        found = [_said(plays, client, split) for split in SPLITS]
        assert found[0] + found[1] + found[2] == expected
        characters = np.array([sum(len(speech) + 1 for speech in part) for part in found])
        longest = max(map(len, expected)) + 1
        assert np.abs(characters.cumsum()[:2] - characters.sum() * np.array([0.6, 0.8])).max() <= longest / 2


@pytest.mark.parametrize("context", [1, 6, 40])
def test_contexts_stay_inside_their_speech(context):
    population = embedded.load("plays", min_characters=50_000, context=context)
    part = population.client("hamlet/HAMLET", "test")
    row = 0
    for speech in part["y"].tobytes().split(b"\0")[:-1]:
        for position in range(len(speech) + 1):
            before = speech[max(0, position - context) : position].rjust(context, b"\0")
            assert part["x"][row].tobytes() == before
            row += 1
    assert row == len(part["y"])


def test_alphabet(plays):
    symbols = embedded.characters("plays")
    assert plays.about.num_classes == len(symbols) == len(set(symbols)) == 66
    assert "".join(symbols[:14]) == "␃�\n !\"&',-.:;?"
    assert {array.dtype for array in plays.arrays.values()} == {np.dtype(np.uint8)}
    assert np.sum(files.read("plays")["tokens"] == embedded.OTHER) == 13


def test_no_stage_directions(plays):
    for client in plays.ids:
        text = "".join("".join(_said(plays, client, split)) for split in SPLITS)
        assert not {"_", "*", "[", "]", "\\", "#"} & set(text)
        assert "Exeunt" not in text


def test_hold_out_by_play_joins_its_roles():
    population = embedded.load("plays", hold_out="play", context=1)
    groups = dict(zip(population.ids, population.groups or (), strict=True))
    assert groups["hamlet/HAMLET"] == groups["hamlet/OPHELIA"] == "hamlet"
    assert len(set(groups.values())) == 38
    assert embedded.load("plays", context=1).groups is None
