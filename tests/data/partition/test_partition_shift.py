"""Shifts: against plain loops and numpy's own rotation; what they keep; whom they hang on."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfljax.data import About, Population, partition
from pfljax.data.partition.shift import _as, _turned
from pfljax.errors import PflError

STEADY = settings(deadline=None, derandomize=True, max_examples=40)
SPLITS = ("train", "validation", "test")


def images(dtype=np.uint8, height: int = 6, width: int = 6, clients: int = 12) -> Population:
    generator = np.random.default_rng(0)
    count = 5 * clients
    return Population.from_flat(
        {
            "x": generator.integers(0, 256, (count, height, width, 2)).astype(dtype),
            "flat": generator.standard_normal((count, 3)).astype(np.float32),
            "y": generator.integers(0, 10, count).astype(np.int16),
        },
        np.arange(0, count + 1, 5),
        tuple(f"c{index}" for index in range(clients)),
        groups=tuple(f"g{index // 2}" for index in range(clients)),
        about=About("toy", num_classes=10),
    )


SHIFTS = {
    "rotate": lambda people, seed: partition.rotate(people, (0, 30, 90, 180, 270), seed=seed),
    "noise": lambda people, seed: partition.noise(people, 20.0, seed=seed),
    "labels of clients": lambda people, seed: partition.swap_labels(people, seed=seed),
    "labels of clusters": lambda people, seed: partition.swap_labels(people, 3, seed=seed),
}
CHANGED = {"rotate": "x", "noise": "x", "labels of clients": "y", "labels of clusters": "y"}


def refusal(make, *arguments, **options) -> str:
    with pytest.raises(PflError) as error:
        make(*arguments, **options)
    assert re.search(r"expected .+ got .+", str(error.value))
    return str(error.value)


@pytest.mark.parametrize("name", SHIFTS)
def test_only_one_array_changes_and_keeps_its_dtype(name):
    before = images()
    kept = before.checksum()
    after = SHIFTS[name](before, 0)
    assert before.checksum() == kept
    assert after.checksum() != kept
    for key, array in before.arrays.items():
        assert after.arrays[key].dtype == array.dtype
        assert np.array_equal(after.arrays[key], array) == (key != CHANGED[name])
    np.testing.assert_array_equal(after.bounds, before.bounds)
    np.testing.assert_array_equal(after.offsets, before.offsets)
    assert (after.ids, after.groups, after.about) == (before.ids, before.groups, before.about)


@pytest.mark.parametrize("name", SHIFTS)
def test_a_client_hangs_on_its_id_and_the_seed_alone(name):
    people, rows = images(), [7, 2, 11, 0]
    alone, together = SHIFTS[name](people.take(rows), 4), SHIFTS[name](people, 4).take(rows)
    assert alone.checksum() == together.checksum()
    assert SHIFTS[name](people, 4).checksum() == SHIFTS[name](people, 4).checksum()
    assert SHIFTS[name](people, 5).checksum() != SHIFTS[name](people, 4).checksum()


def test_clusters():
    ids = tuple(map(str, range(4000)))
    drawn = partition.clusters(ids, 4)
    assert abs(np.bincount(drawn) - 1000).max() < 5 * math.sqrt(4000 * 0.25 * 0.75)
    np.testing.assert_array_equal(partition.clusters(ids[::-1], 4), drawn[::-1])
    assert (partition.clusters(ids, 4, seed=1) != drawn).any()
    assert "num_clusters" in refusal(partition.clusters, ids, 0)


# ---- rotate ----


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int64])
def test_quarter_turns_are_exact(dtype):
    people = images(dtype)
    angles = (0, 90, 180, 270, -90, 450)
    turned = partition.rotate(people, angles, seed=2)
    which = partition.clusters(people.ids, len(angles), seed=2)
    assert len(set(which.tolist())) > 3
    for name, index in zip(people.ids, which.tolist(), strict=True):
        for split in SPLITS:
            expected = np.rot90(people.client(name, split)["x"], angles[index] // 90, axes=(1, 2))
            np.testing.assert_array_equal(turned.client(name, split)["x"], expected)


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_other_angles_turn_the_same_way(quarter):
    """A hair beside a quarter turn, where numbers are interpolated."""
    x = np.random.default_rng(0).standard_normal((3, 7, 7))
    np.testing.assert_allclose(_turned(x, 90 * quarter + 1e-9), np.rot90(x, quarter, axes=(1, 2)), atol=1e-6)


@STEADY
@given(
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    angle=st.floats(0, 359.9),
    is_colour=st.booleans(),
    seed=st.integers(0, 9),
)
def test_bilinear_interpolation_is_that_of_a_plain_loop(height, width, angle, is_colour, seed):
    shape = (2, height, width, 3) if is_colour else (2, height, width)
    x = np.random.default_rng(seed).standard_normal(shape)
    if angle % 90 == 0:
        return
    turned, radians = _turned(x, angle), math.radians(angle)
    pixel = lambda r, c: x[:, r, c] if 0 <= r < height and 0 <= c < width else 0 * x[:, 0, 0]
    for row in range(height):
        for column in range(width):
            right, up = column - (width - 1) / 2, (height - 1) / 2 - row
            from_right = math.cos(radians) * right + math.sin(radians) * up
            from_up = math.cos(radians) * up - math.sin(radians) * right
            r, c = (height - 1) / 2 - from_up, (width - 1) / 2 + from_right
            r0, c0 = math.floor(r), math.floor(c)
            a, b = r - r0, c - c0
            expected = (1 - a) * ((1 - b) * pixel(r0, c0) + b * pixel(r0, c0 + 1))
            expected = expected + a * ((1 - b) * pixel(r0 + 1, c0) + b * pixel(r0 + 1, c0 + 1))
            np.testing.assert_allclose(turned[:, row, column], expected, atol=1e-6)


def test_whole_numbers_are_rounded():
    x = np.full((1, 9, 9), 255, np.uint8)
    turned = _turned(x, 45.0)
    assert turned.dtype == np.uint8
    assert turned[0, 4, 4] == 255  # the centre stays
    np.testing.assert_array_equal(turned, np.rint(_turned(x.astype(np.float32), 45.0)))
    assert turned[0, 0, 0] == 0  # outside of the image


def test_many_rows_are_turned_in_parts(monkeypatch):
    people = images()
    whole = partition.rotate(people, (10, 20)).checksum()
    monkeypatch.setattr("pfljax.data.partition.shift.STEP", 3)
    assert partition.rotate(people, (10, 20)).checksum() == whole


def test_what_cannot_be_turned_is_refused():
    people = images(height=4)
    assert "angles: expected no quarter turn of images of shape [4, 6], got 90" in refusal(
        partition.rotate, people, (0, 90)
    )
    assert partition.rotate(people, (0, 180, 10)).arrays["x"].shape == people.arrays["x"].shape
    assert "array 'flat': expected images" in refusal(partition.rotate, people, (0,), array="flat")
    assert "array: expected one of x, flat, y, got 'flot', did you mean 'flat'?" in refusal(
        partition.rotate, people, (0,), array="flot"
    )
    for bad in (np.nan, "90", None, np.inf):
        assert "angles" in refusal(partition.rotate, people, (0, bad))
    assert "num_clusters" in refusal(partition.rotate, people, ())


# ---- noise ----


def test_noise_has_a_level_of_each_clients_own():
    rows, clients = 400, 60
    flat = {"x": np.zeros((rows * clients, 5), np.float32)}
    people = Population.from_flat(
        flat, np.arange(0, rows * clients + 1, rows), tuple(map(str, range(clients))), seed=None
    )
    x = partition.noise(people, 2.0).arrays["x"].reshape(clients, -1)
    spread = x.std(axis=1)
    assert 0 < spread.min() < 0.4
    assert 1.6 < spread.max() < 2.1
    assert abs(np.sort(spread) - np.linspace(0, 2, clients)).max() < 0.5  # uniform from 0 to the level
    assert abs(x.mean(axis=1) / spread).max() < 5 / math.sqrt(5 * rows)
    np.testing.assert_allclose(2 * x, partition.noise(people, 4.0).arrays["x"].reshape(clients, -1), rtol=1e-5)
    assert partition.noise(people, 0).checksum() == people.checksum()


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.uint64, np.int64, np.float16, np.float64])
def test_noise_keeps_every_dtype(dtype):
    people = images()
    people = Population(
        {"x": people.arrays["flat"].astype(np.int8).astype(dtype) if np.dtype(dtype).kind != "u" else
         abs(people.arrays["flat"]).astype(dtype)},
        people.offsets, people.bounds, people.ids,
    )  # fmt: skip
    after = partition.noise(people, 3.0).arrays["x"]
    assert after.dtype == dtype
    assert (after != people.arrays["x"]).any()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.int64, np.uint64])
def test_whole_numbers_are_clipped(dtype):
    kind = np.result_type(dtype, np.float32)
    limits = np.iinfo(dtype)
    made = _as(np.array([-1e30, 1e30, 2.5, 3.6], kind), np.dtype(dtype))
    assert made[0] == limits.min
    assert limits.max - 2048 <= int(made[1]) <= limits.max
    assert made[2:].tolist() == [2, 4]


def test_bad_noise_is_refused():
    people = images()
    for bad in (-1, np.nan, "1", None):
        assert "level" in refusal(partition.noise, people, bad)
    flags = Population({"x": np.ones((4, 2), bool)}, np.array([0, 4]), np.array([[2, 3]]), ("ada",))
    assert "array 'x': expected numbers, got booleans" in refusal(partition.noise, flags, 1.0)


# ---- swap_labels ----


@pytest.mark.parametrize("num_clusters", [None, 3])
def test_labels_are_renamed_by_a_permutation(num_clusters):
    people = images(clients=30)
    after = partition.swap_labels(people, num_clusters, seed=1)
    which = range(30) if num_clusters is None else partition.clusters(people.ids, num_clusters, seed=1).tolist()
    names: dict[int, dict[int, int]] = {}
    for index, name in zip(which, people.ids, strict=True):
        for split in SPLITS:
            for old, new in zip(people.client(name, split)["y"], after.client(name, split)["y"], strict=True):
                assert names.setdefault(index, {}).setdefault(int(old), int(new)) == new
    for renamed in names.values():
        assert len(set(renamed.values())) == len(renamed)
        assert set(renamed.values()) <= set(range(10))
    assert len({tuple(sorted(renamed.items())) for renamed in names.values()}) == len(names)
    assert num_clusters is None or len(names[0]) == 10


def test_bad_labels_are_refused():
    people = images()
    message = refusal(partition.swap_labels, people, num_classes=3)
    row = int(np.argmax(people.arrays["y"] > 2))
    assert f"client 'c{row // 5}': expected labels from 0 to 2, got {people.arrays['y'][row]} in 'y'" in message
    assert "array 'flat': expected labels" in refusal(partition.swap_labels, people, array="flat")
    assert "num_classes" in refusal(partition.swap_labels, people, num_classes=0)
    assert "num_clusters" in refusal(partition.swap_labels, people, 0)
    people.arrays["y"][6] = -1
    assert "client 'c1': expected labels from 0 to 9, got -1" in refusal(partition.swap_labels, people)
