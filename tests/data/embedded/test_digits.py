"""The embedded population digits: images of the source, and forms that all copy one text."""

from itertools import pairwise

import numpy as np
import pytest

from pfljax.data import embedded
from pfljax.data.embedded import files
from pfljax.data.population import Population

SPLITS = ("train", "validation", "test")
TEXT = (
    "0123456789012345678901234567890955650989841773510022782012633733466649150952820017632174631391768431405369617544"
    "728225795488490898"
)


@pytest.fixture(scope="module")
def digits() -> Population:
    return embedded.load("digits")


def _is_shortened(found: str, text: str) -> bool:
    """Whether `found` is `text` with characters left out."""
    rest = iter(text)
    return all(character in rest for character in found)


def test_forms_begin_where_the_text_begins_again():
    arrays = files.read("digits")
    assert arrays["form_rows"].tolist() == [130, 126, 130, 130, 130, 130, 130, 123, 128, 130, 128, 130, 122, 130]
    cuts = np.cumsum([0, *arrays["form_rows"].tolist()])
    forms = ["".join(map(str, arrays["label"][a:b])) for a, b in pairwise(cuts)]
    assert len(TEXT) == 130
    # The third form ends in a 3 where all others that reach so far have an 8.
    assert [_is_shortened(form, TEXT) for form in forms] == [number != 2 for number in range(14)]
    assert forms[2] == TEXT[:-1] + "3"


def test_images_of_the_source(digits):
    pixels = files.read("digits")["pixels"]
    assert pixels[0].tolist()[:2] == [[0, 0, 5, 13, 9, 1, 0, 0], [0, 0, 13, 15, 10, 15, 5, 0]]
    assert (pixels.max(), pixels.sum(dtype=int)) == (16, 561_718)
    for form, rows in (("form1", pixels[:130]), ("form14", pixels[1667:])):
        images = np.concatenate([digits.client(form, split)["x"] for split in SPLITS])
        assert sorted(map(bytes, (images * 16).astype(np.uint8))) == sorted(map(bytes, rows))


def test_counts(digits):
    assert digits.ids[::13] == ("form1", "form14")
    assert [int(digits.sizes(split).sum()) for split in SPLITS] == [1079, 358, 360]
    assert np.bincount(digits.arrays["y"]).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert digits.arrays["x"].shape == (1797, 8, 8)
    assert (digits.arrays["x"].dtype, digits.arrays["y"].dtype) == (np.float32, np.int32)
    assert (digits.arrays["x"].min(), digits.arrays["x"].max()) == (0, 1)
    assert digits.about.num_classes == 10
    for form in digits.ids:
        assert set(digits.client(form)["y"].tolist()) == set(range(10))


def test_a_seed_deals_the_same_images_anew(digits):
    other = embedded.load("digits", seed=1)
    assert other.checksum() != digits.checksum()
    for form in digits.ids:
        both = [np.concatenate([p.client(form, split)["y"] for split in SPLITS]) for p in (digits, other)]
        np.testing.assert_array_equal(np.sort(both[0]), np.sort(both[1]))


def test_dealt_by_a_dirichlet_law(digits):
    dealt = embedded.load("digits", partition="dirichlet", num_clients=30, alpha=0.1)
    assert (dealt.num_clients, dealt.num_rows) == (30, 1797)
    assert np.diff(dealt.offsets).min() >= 10
    everything = lambda population: sorted(map(bytes, population.arrays["x"].reshape(len(population.arrays["x"]), -1)))
    assert everything(dealt) == everything(digits)
    assert dealt.about.partition
    assert dealt.about.licence == digits.about.licence
    default = embedded.load("digits", partition="dirichlet")
    assert default.num_clients == 40
    assert embedded.load("digits", partition="dirichlet", seed=1).about.partition != default.about.partition
    kinds = lambda population: np.mean([len(set(population.client(c)["y"].tolist())) for c in population.ids])
    assert kinds(dealt) < kinds(default) < kinds(digits)
