"""`describe` against plain loops over clients and rows, and against chance counted out."""

import importlib
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfljax import PflError, data
from pfljax.data.describe import Labels, Numbers, Spread, distance_by_chance, label_counts, moments

module = importlib.import_module("pfljax.data.describe")  # the package calls its function by this name
LABELS = st.lists(st.lists(st.integers(0, 3), min_size=2, max_size=9), min_size=1, max_size=6)


def population(rows: list, num_classes: int = 0, dtype=np.int32) -> data.Population:
    clients = {f"client{number}": {"y": np.asarray(each, dtype)} for number, each in enumerate(rows)}
    return data.Population.from_clients(clients, about=data.About(num_classes=num_classes))


@settings(max_examples=40, deadline=None)
@given(rows=LABELS, block=st.sampled_from([1, 9, 2**22]))
def test_labels_are_those_of_a_plain_loop(rows, block):
    facts = _with_block(block, population(rows, num_classes=5))
    assert isinstance(facts, Labels)
    flat = [label for each in rows for label in each]
    shares = [flat.count(label) / len(flat) for label in range(5)]
    distances, kinds, largest = [], [], []
    for each in rows:
        own = [each.count(label) / len(each) for label in range(5)]
        distances.append(sum(abs(a - b) for a, b in zip(own, shares, strict=True)) / 2)
        kinds.append(len(set(each)))
        largest.append(max(own))
    assert (facts.num_classes, facts.num_present) == (5, len(set(flat)))
    assert (facts.per_client.least, facts.per_client.most) == (min(kinds), max(kinds))
    np.testing.assert_allclose(facts.distance, np.mean(distances), atol=1e-12)
    np.testing.assert_allclose((facts.largest, facts.own_largest), (max(shares), np.mean(largest)), atol=1e-12)
    chance = [distance_by_chance(np.array([len(each)]), np.array(shares))[0] for each in rows]
    np.testing.assert_allclose(facts.by_chance, np.mean(chance), atol=1e-12)


def _with_block(block: int, people: data.Population) -> Labels | Numbers | None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        return data.describe(people).target


@pytest.mark.parametrize("shares", [(1.0,), (0.5, 0.5), (0.2, 0.8, 0.0), (0.5, 0.3, 0.2), (1 / 3, 1 / 3, 1 / 3)])
def test_chance_is_the_mean_over_all_draws(shares):
    for size in (1, 2, 3, 6):
        expected = 0.0
        for draw in product(range(len(shares)), repeat=size):
            own = np.bincount(draw, minlength=len(shares)) / size
            expected += np.prod([shares[label] for label in draw]) * np.abs(own - shares).sum() / 2
        np.testing.assert_allclose(distance_by_chance(np.array([size]), np.array(shares)), [expected], atol=1e-12)


def test_clients_dealt_by_chance_are_as_far_as_chance():
    generator = np.random.default_rng(0)
    rows = [generator.choice(10, size=generator.integers(2, 60)) for _ in range(2000)]
    facts = data.describe(population(rows, num_classes=10)).target
    assert isinstance(facts, Labels)
    np.testing.assert_allclose(facts.distance, facts.by_chance, rtol=0.03)


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.lists(st.integers(-9, 9), min_size=2, max_size=7), min_size=1, max_size=6))
def test_numbers_are_those_of_a_plain_loop(rows):
    facts = data.describe(population(rows, dtype=np.float32)).target
    assert isinstance(facts, Numbers)
    flat = np.array([value for each in rows for value in each], float)
    between = sum(len(each) * (np.mean(each) - flat.mean()) ** 2 for each in rows)
    total = ((flat - flat.mean()) ** 2).sum()
    np.testing.assert_allclose((facts.mean, facts.deviation), (flat.mean(), flat.std()), atol=1e-9)
    np.testing.assert_allclose(facts.between, between / total if total else 0, atol=1e-9)
    assert facts.by_chance == (len(rows) - 1) / (len(flat) - 1)


def test_variance_between_clients_of_dealt_vectors_is_chance():
    generator = np.random.default_rng(0)
    rows = [generator.normal(size=(5, 3)) for _ in range(2000)]
    facts = data.describe(population(rows, dtype=np.float64)).target
    assert isinstance(facts, Numbers)
    np.testing.assert_allclose(facts.between, facts.by_chance, rtol=0.03)


def test_labels_of_whole_sequences_count_each():
    people = population([[[0, 1], [1, 1]], [[2, 2], [2, 0], [0, 0]]], num_classes=3)
    assert label_counts(people).tolist() == [[1, 3, 0], [3, 0, 3]]
    assert label_counts(people, 1).tolist() == [[3, 0, 3]]
    assert label_counts(people, 0, 1).tolist() == [[1, 3, 0]]


def test_moments():
    mean, deviation = moments(population([[1, 3], [5, 5, 8]], dtype=np.int64))
    np.testing.assert_allclose(mean[:, 0], [2, 6])
    np.testing.assert_allclose(deviation[:, 0], [1, np.sqrt(2)])


def test_spread():
    spread = Spread.of(np.arange(1, 21))
    assert spread == Spread(210.0, 1.0, pytest.approx(2.9), 10.5, pytest.approx(18.1), 20.0, 39 / 210)
    assert Spread.of(np.array([4])).tenth == 1.0
    assert Spread.of(np.zeros(3, int)).tenth == 0.0


def test_the_rest_is_what_the_population_says(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(20, dtype=np.int16).reshape(10, 2))
    people = data.Population.from_flat(
        {"x": np.load(tmp_path / "x.npy", mmap_mode="r"), "flag": np.arange(10) > 3},
        np.array([0, 4, 10]), ("ada", "bob"), seed=None, groups=("home", "home"),
        about=data.About("ours", "nothing", source="a shelf", licence="MIT", partition="abc"),
    )  # fmt: skip
    facts = data.describe(people)
    assert facts.target is None
    assert (facts.num_clients, facts.num_rows, facts.num_groups, facts.num_bytes) == (2, 10, 1, 50)
    assert {name: (size.total, size.least, size.most) for name, size in facts.sizes.items()} == {
        "train": (6, 2, 4), "validation": (2, 1, 1), "test": (2, 1, 1), "all": (10, 4, 6),
    }  # fmt: skip
    x, flag = facts.columns["x"], facts.columns["flag"]
    assert (x.dtype, x.shape, x.num_bytes, x.least, x.most, x.is_mapped) == ("int16", (2,), 40, 0, 19, True)
    assert (flag.dtype, flag.shape, flag.least, flag.most, flag.is_mapped) == ("bool", (), 0, 1, False)
    assert facts.checksum == people.checksum()
    text = str(facts)
    for part in (
        "ours: nothing",
        "1 groups",
        "licence MIT; source a shelf",
        "partition abc",
        "in a file",
        "no targets",
    ):
        assert part in text
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize(
    ("rows", "dtype", "said"),
    [
        ([[0, 1], [1, -1, 0]], np.int64, "client 'client1': expected classes from 0 to 2 in 'y', got [-1] in its row"),
        ([[0, 1], [1, 3, 0]], np.uint8, "client 'client1': expected classes from 0 to 2 in 'y', got [3] in its row"),
        ([[0.5, 1], [1, 0]], np.float32, "array 'y': expected whole numbers, as about.num_classes is 3, got float32"),
        ([np.zeros((2, 0))], np.float32, "array 'y': expected labels, got shape [2, 0]; leave it out"),
    ],
)
def test_what_are_no_classes_is_refused(rows, dtype, said):
    with pytest.raises(PflError) as error:
        data.describe(population(rows, num_classes=3, dtype=dtype))
    assert said in str(error.value)


def test_true_and_false_are_classes():
    facts = data.describe(population([[True, False], [True, True]], num_classes=2, dtype=bool)).target
    assert isinstance(facts, Labels)
    assert (facts.distance, facts.largest) == (0.25, 0.75)


@pytest.mark.parametrize("name", list(data.embedded.LOADERS))
def test_embedded_populations(name):
    people = data.load(name)
    facts = data.describe(people)
    assert isinstance(facts.target, Labels if people.about.num_classes else Numbers)
    assert str(facts).splitlines()[0] == f"{name}: {people.about.task}"
