"""Alikes have the shapes, sizes and label shares of their models, and the rule of succession that they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pfljax as pfl
from pfljax import keys
from pfljax.data.generators import (
    alikes,
    cifar10_alike,
    cifar100_alike,
    content,
    emnist_alike,
    files,
    shakespeare_alike,
    stackoverflow_alike,
)
from pfljax.data.memory import memory_map

SPLITS = ("train", "validation", "test")


@pytest.fixture
def blank(monkeypatch):
    """No pixels and no words: full size at the cost of the bookkeeping."""
    monkeypatch.setattr(
        content, "images", lambda name, seed, labels, classes, shape: np.zeros((len(labels), *shape), np.uint8)
    )
    monkeypatch.setattr(files, "joined", lambda parts, shape, dtype: np.broadcast_to(np.zeros((), dtype), shape))


def label_pairs(population, unit=1):
    """[client]: how often two of a client's rows have one label, labels taken `unit` together."""
    labels = population.arrays["y"].reshape(population.num_clients, -1) // unit
    counts = np.stack([np.bincount(row, minlength=100) for row in labels])
    rows = labels.shape[1]
    return (counts * (counts - 1)).sum(axis=1) / (rows * (rows - 1))


# ---- sizes and labels ----


@pytest.mark.parametrize(
    ("make", "clients", "rows", "shape", "dtype", "classes"),
    [
        (emnist_alike, 3_400, 671_585, (28, 28), np.uint8, 62),
        (cifar10_alike, 100, 60_000, (32, 32, 3), np.uint8, 10),
        (cifar100_alike, 500, 60_000, (32, 32, 3), np.uint8, 100),
        (stackoverflow_alike, 342_477, 135_818_730, (20,), np.int16, 10_002),
    ],
)
def test_full_size(blank, make, clients, rows, shape, dtype, classes):
    population = make()
    assert (population.num_clients, population.num_rows) == (clients, rows)
    assert (population.arrays["x"].shape[1:], population.arrays["x"].dtype) == (shape, dtype)
    assert population.about.num_classes == classes
    assert population.about.source == "generated"
    if make in (cifar10_alike, cifar100_alike):
        assert [population.sizes(split).sum() for split in SPLITS] == [45_000, 5_000, 10_000]


@pytest.mark.slow
def test_full_size_of_shakespeare():
    population = shakespeare_alike()
    assert (population.num_clients, population.num_rows) == (1_129, 4_226_158)
    assert population.arrays["x"].shape == (4_226_158, 80)


def test_sizes_of_emnist(blank):
    """N(197.5, 77), cut at 10, where one in 133 ends."""
    sizes = np.diff(emnist_alike().offsets)
    assert sizes.min() == 10
    assert np.median(sizes) == pytest.approx(197.5, abs=5 * 1.2533 * 77 / np.sqrt(3_400))
    assert sizes.std() == pytest.approx(77, rel=0.03)  # two and a half deviations; the seed is fixed
    assert (sizes == 10).mean() == pytest.approx(0.0075, abs=5 * np.sqrt(0.0075 / 3_400))


def test_sizes_of_stack_overflow_have_a_heavy_tail(blank):
    sizes = np.diff(stackoverflow_alike().offsets)
    assert sizes.min() == 100
    assert np.std(np.log(sizes - 99.5)) == pytest.approx(1.5, rel=0.02)
    assert sizes.max() > 100 * sizes.mean()
    capped = np.diff(stackoverflow_alike(max_rows=128).offsets)
    np.testing.assert_array_equal(capped, np.minimum(sizes, 128))


def test_half_of_emnist_are_digits(blank):
    labels = emnist_alike(seed=3).arrays["y"]
    counts = np.bincount(labels, minlength=62)
    share = np.repeat([341_873 / 671_585 / 10, (1 - 341_873 / 671_585) / 52], [10, 52])
    assert (np.abs(counts - share * len(labels)) < 5 * np.sqrt(share * len(labels))).all()


@pytest.mark.parametrize(("make", "clients", "classes"), [(cifar10_alike, 100, 10), (cifar100_alike, 500, 100)])
def test_all_classes_are_alike_and_all_clients_as_large(blank, make, clients, classes):
    population = make(seed=1)
    assert (np.bincount(population.arrays["y"]) == 60_000 // classes).all()
    assert (np.diff(population.offsets) == 60_000 // clients).all()


@pytest.mark.parametrize(("alpha", "fewest", "most"), [(1e-12, 0.5, 1), (1e12, 0.09, 0.11)])
def test_alpha_decides_how_alike_a_clients_labels_are(blank, alpha, fewest, most):
    found = label_pairs(cifar10_alike(0.2, alpha=alpha))
    assert fewest <= np.median(found) <= most  # the last clients have what is left


def test_alpha_and_beta_of_cifar100(blank):
    """Few coarse classes for small alpha, all fine ones of them for large beta, and the other way round."""
    coarse, fine = (label_pairs(cifar100_alike(0.1, alpha=0.01, beta=1e6), unit).mean() for unit in (5, 1))
    assert coarse > 0.6
    assert fine == pytest.approx(coarse / 5, rel=0.15)
    coarse, fine = (label_pairs(cifar100_alike(0.1, alpha=1e6, beta=0.01), unit).mean() for unit in (5, 1))
    assert coarse < 0.07
    assert fine > 0.6 * coarse


def test_rows_of_a_client_are_in_no_order(blank):
    """Else its test rows would have other labels than its train rows."""
    population = cifar10_alike(0.1, alpha=1e6)
    for name in population.ids:
        assert set(population.client(name, "test")["y"]) == set(range(10))


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=40), st.integers(0, 1000), st.integers(0, 5))
@settings(max_examples=200, deadline=None)
def test_rows_shared_out_add_up(weights, rest, least):
    weights = np.array(weights) + 1e-9
    found = alikes.share_out(weights, least * len(weights) + rest, least)
    assert found.sum() == least * len(weights) + rest
    assert found.min() >= least
    assert np.abs(found - least - weights / weights.sum() * rest).max() <= 1 + 1e-6


@pytest.mark.parametrize("make", [emnist_alike, cifar10_alike, cifar100_alike, shakespeare_alike, stackoverflow_alike])
def test_the_smallest_scale_is_one_client(make):
    population = make(1e-9)
    assert population.num_clients == 1
    assert all(population.sizes(split)[0] >= 1 for split in SPLITS)


# ---- content ----


@pytest.mark.parametrize("chunk", [10_000, content.CHUNK])
def test_an_image_is_its_classs_pattern_and_noise(monkeypatch, chunk):
    monkeypatch.setattr(content, "CHUNK", chunk)
    labels = np.arange(400) % 3
    found = content.images("name", 5, labels, 3, (8, 12, 2)).astype(int)
    for label in range(3):
        mine = found[labels == label]
        least, most = mine.min(axis=0), mine.max(axis=0)
        assert (most - least <= 127).all()
        blocks = mine.reshape(-1, 2, 4, 3, 4, 2)
        pattern = blocks.min(axis=(0, 2, 4))  # of 16 pixels in 133 images, one has no noise
        again = keys.host(5, "name classes").integers(0, 128, (3, 2, 3, 2), dtype=np.uint8)[label]
        np.testing.assert_array_equal(pattern, again)
        noise = blocks - pattern[None, :, None, :, None]
        assert abs(noise.mean() - 63.5) < 5 * 37 / np.sqrt(noise.size)
    assert len(np.unique(found.reshape(400, -1), axis=0)) == 400  # chunks have noise of their own


def test_classes_of_images_can_be_learned():
    population = emnist_alike(0.003)
    begin, size = population.span("test")
    is_test = np.zeros(population.num_rows, bool)
    is_test[np.concatenate([np.arange(b, b + n) for b, n in zip(begin, size, strict=True)])] = True
    x, y = population.arrays["x"].reshape(-1, 784).astype(float), population.arrays["y"]
    known = np.unique(y[~is_test])
    means = np.stack([x[~is_test & (y == label)].mean(axis=0) for label in known])
    asked = is_test & np.isin(y, known)
    nearest = known[np.argmin(((x[asked][:, None] - means) ** 2).sum(axis=2), axis=1)]
    assert asked.sum() > 100
    assert (nearest == y[asked]).mean() > 0.95


def test_texts_follow_a_rule_of_the_client():
    population, ways = shakespeare_alike(0.01, seed=2), set()
    for name in population.ids:
        x, y = (np.concatenate([population.client(name, split)[key] for split in SPLITS]) for key in "xy")
        np.testing.assert_array_equal(x[1:, :-1], x[:-1, 1:])
        np.testing.assert_array_equal(x[1:, -1], y[:-1])
        assert (x[0] == 0).all()
        assert y[-1] == 0  # the text is over
        assert y[:-1].min() >= 2
        assert y.max() < 90
        ahead = (y[1:-1].astype(int) - x[1:-1, -1]) % 88
        counts = np.bincount(ahead, minlength=88)
        way, rows = int(counts.argmax()), len(ahead)
        ways.add(way)
        share = 0.8 + 0.2 / 88
        assert abs(counts[way] - share * rows) < 5 * np.sqrt(share * (1 - share) * rows)
    assert ways == {1, 3, 5, 7}


def test_sentences_are_walks_on_a_ring(monkeypatch):
    """Against a plain loop, in chunks of 100 rows."""
    monkeypatch.setattr(content, "CHUNK", 4000)
    population = stackoverflow_alike(1e-5, seed=4)
    words = keys.host(4, "stackoverflow ring").permutation(ranks_of_slots()) + 2
    generator = keys.host(4, "stackoverflow steps")
    kinds = generator.integers(1, 65536, 8, dtype=np.uint16).tolist()
    steps = [kinds[kind] for kind in generator.integers(0, 8, population.num_clients)]
    starts = [
        int(start)
        for chunk, begin in enumerate(range(0, population.num_rows, 100))
        for start in keys.host(4, "stackoverflow starts", chunk).integers(
            0, 65536, min(100, population.num_rows - begin), dtype=np.uint16
        )
    ]
    for row in range(0, population.num_rows, 37):
        client = int(np.searchsorted(population.offsets, row, side="right")) - 1
        sentence = [words[(starts[row] + steps[client] * place) % 65536] for place in range(20)]
        assert population.arrays["y"][row].tolist() == sentence
        assert population.arrays["x"][row].tolist() == [0, *sentence[:-1]]


def ranks_of_slots():
    total, ranks, rank, reached = sum(1 / place for place in range(1, 10_001)), [], 0, 1.0
    for slot in range(65536):
        while reached / total < (slot + 0.5) / 65536:
            rank += 1
            reached += 1 / (rank + 1)
        ranks.append(rank)
    return ranks


def test_words_are_zipfs():
    words = stackoverflow_alike(1e-3).arrays["y"].ravel()
    counts, share = np.bincount(words, minlength=10_002)[2:], 1 / np.arange(1, 10_001)
    np.testing.assert_allclose(counts[:20] / len(words), share[:20] / share.sum(), rtol=0.1)
    assert np.count_nonzero(counts) > 5_000


# ---- files ----


def test_sentences_are_written_once_and_mapped(tmp_path):
    folder = tmp_path / "made" / "here"
    first = stackoverflow_alike(1e-4, folder=folder)
    (file,) = folder.iterdir()
    assert memory_map(first.arrays["x"]) is not None
    assert first.checksum() == stackoverflow_alike(1e-4).checksum()
    stamp = file.stat().st_mtime_ns
    again = stackoverflow_alike(1e-4, folder=str(folder))
    assert again.checksum() == first.checksum()
    assert file.stat().st_mtime_ns == stamp
    stackoverflow_alike(1e-4, seed=1, folder=folder)
    stackoverflow_alike(1e-4, max_rows=200, folder=folder)
    assert len(list(folder.iterdir())) == 3


def test_a_broken_off_file_is_never_seen(tmp_path, monkeypatch):
    def fail(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(content, "sentences", fail)
    with pytest.raises(KeyboardInterrupt):
        stackoverflow_alike(1e-4, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_damaged_files_are_refused(tmp_path):
    stackoverflow_alike(1e-4, folder=tmp_path)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for damaged in (whole[:-1000], whole[:20], b"", b"no array", b"PK\x03\x04no zip"):
        file.write_bytes(damaged)
        with pytest.raises(pfl.PflError, match=r"expected an array written before, got .*delete it"):
            stackoverflow_alike(1e-4, folder=tmp_path)
    np.save(file, np.zeros((2, 21), np.int16))
    with pytest.raises(pfl.PflError, match=r"expected int16\[\d+, 21\], got int16\[2, 21\]; delete it"):
        stackoverflow_alike(1e-4, folder=tmp_path)
    np.save(file, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(pfl.PflError, match="expected an array written before"):
        stackoverflow_alike(1e-4, folder=tmp_path)


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(pfl.PflError, match="folder: expected one that can be written to"):
        stackoverflow_alike(1e-4, folder=tmp_path / "file")


# ---- bad input ----


@pytest.mark.parametrize("make", [emnist_alike, cifar10_alike, cifar100_alike, shakespeare_alike, stackoverflow_alike])
@pytest.mark.parametrize("scale", [0, -0.5, 1.01, float("nan"), float("inf"), "1", True, None])
def test_bad_scales(make, scale):
    with pytest.raises(pfl.PflError, match="scale: expected a number above 0 and at most 1"):
        make(scale)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "1"])
def test_bad_concentrations(value):
    for make, name in ((cifar10_alike, "alpha"), (cifar100_alike, "alpha"), (cifar100_alike, "beta")):
        with pytest.raises(pfl.PflError, match=f"{name}: expected"):
            make(0.01, **{name: value})


@pytest.mark.parametrize("value", [0, 1, 2.5])
def test_bad_caps(value):
    with pytest.raises(pfl.PflError, match="max_rows: expected a whole number of at least 2"):
        stackoverflow_alike(1e-4, max_rows=value)
