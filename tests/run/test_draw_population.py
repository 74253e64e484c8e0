"""A page is a real picture of one size, for every kind of population; what stands on it is read off the figure."""

import struct
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from pfljax import data
from pfljax.run import draw_examples, draw_population
from pfljax.run.look import class_names

GENERATOR = np.random.default_rng(0)
LABELS = ("a $ b", " ", "\n", "\N{SYMBOL FOR END OF TEXT}", "漢字")


def people(x, y=None, num_classes: int = 0, name: str = "x", num_clients: int = 5, size: int = 10) -> data.Population:
    """x, y: number of rows -> array"""
    columns = {name: x} if y is None else {name: x, "y": y}
    clients = {
        f"client ${client}$ with a very long name": {each: make(size + client) for each, make in columns.items()}
        for client in range(num_clients)
    }
    return data.Population.from_clients(clients, about=data.About("ours $1$", "to see", num_classes=num_classes))


def floats(*shape: int):
    return lambda rows: GENERATOR.normal(size=(rows, *shape)).astype(np.float32)


def whole(most: int, *shape: int, dtype=np.int32):
    return lambda rows: GENERATOR.integers(0, most, size=(rows, *shape)).astype(dtype)


KINDS = {
    "classes": people(floats(7), whole(3), 3),
    "numbers": people(floats(7), floats()),
    "vectors": people(floats(7), floats(2), num_clients=250, size=4),
    "images": people(whole(255, 8, 9, dtype=np.uint8), whole(62), 62),
    "grey": people(floats(8, 8, 1), whole(3), 3),
    "colours": people(floats(8, 8, 3), whole(3), 3),
    "series": people(floats(40, 6), whole(3), 3),
    "text": people(whole(5, 20, dtype=np.uint8), whole(5, dtype=np.uint8), 5),
    "sequences": people(whole(300, 4), whole(300, 4), 300, num_clients=150, size=4),
    "one number": people(floats(), floats()),
    "no y": people(floats(3)),
    "no y, one number": people(floats(1), num_clients=1),
    "no x": people(floats(3), whole(3), 3, name="other"),
    "flags": people(lambda rows: np.ones((rows, 3), bool), whole(2, dtype=bool), 2),
    "only y": data.Population.from_clients({"ada": {"y": np.arange(5)}}, about=data.About(num_classes=5)),
    "constant": people(lambda rows: np.zeros((rows, 4, 4), np.uint8), lambda rows: np.zeros(rows, int), 1),
    "no validation": data.Population.from_clients({"a": {"x": np.ones((2, 2))}}, split=(0.5, 0, 0.5)),
    "empty rows": people(floats(0), floats()),
}
FAST = ("classes", "numbers", "images", "text", "no y")  # made into pixels in the fast set


SLOW = [pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS if kind not in FAST]


@pytest.mark.parametrize("kind", [*FAST, *SLOW])
def test_every_kind_is_a_page(kind):
    names = LABELS if KINDS[kind].about.num_classes == 5 else ()
    png = draw_population.draw(KINDS[kind], names)
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", png[16:24]) == (1755, 1275)
    assert len(png) > 10_000


@pytest.fixture
def page(monkeypatch):
    """Draws the page of a population without its pixels, and returns the figure."""
    monkeypatch.setattr(draw_population, "_png", lambda figure: figure)

    def draw(population: data.Population, names=()) -> Figure:
        figure = draw_population.draw(population, names)
        assert isinstance(figure, Figure)
        return figure

    return draw


def test_client_sizes_are_all_sizes(page):
    axis = page(KINDS["classes"]).axes[0]
    assert axis.get_yscale() == "log"
    for line, split in zip(axis.lines, ("train", "validation", "test"), strict=True):
        assert line.get_ydata().tolist() == sorted(KINDS["classes"].sizes(split).tolist(), reverse=True)
    axis = page(KINDS["no validation"]).axes[0]
    assert [len(line.get_ydata()) for line in axis.lines] == [1, 0, 1]
    assert "1 clients have none" in axis.lines[1].get_label()


def test_the_heat_map_holds_shares(page):
    population = KINDS["classes"]
    shares = page(population).axes[1].images[0].get_array()
    for client, name in enumerate(population.ids):
        y = np.concatenate([population.client(name, split)["y"] for split in ("train", "validation", "test")])
        np.testing.assert_allclose(shares[:, client], np.bincount(y, minlength=3) / len(y))


def test_a_large_heat_map_says_what_it_leaves_out(page):
    axis = page(KINDS["sequences"]).axes[1]
    assert axis.images[0].get_array().shape == (24, 120)
    assert "the 24 of 300 that" in axis.get_title()
    assert "120 of 150" in axis.get_xlabel()


def test_targets_that_are_numbers(page):
    population = KINDS["numbers"]
    axis = page(population).axes[1]
    means = [
        population.arrays["y"][a:b].mean() for a, b in zip(population.offsets, population.offsets[1:], strict=False)
    ]
    np.testing.assert_allclose(axis.lines[0].get_ydata(), np.sort(means), rtol=1e-5)
    np.testing.assert_allclose(axis.lines[1].get_ydata(), population.arrays["y"].mean(), rtol=1e-5)
    assert "200 of 250 are drawn" in page(KINDS["vectors"]).axes[1].get_xlabel()


def test_text_stands_symbol_by_symbol(page):
    population = KINDS["text"]
    figure = page(population, LABELS)
    cells = [text.get_text() for text in figure.axes[-4].texts]
    mine = population.client(population.ids[0])
    row = [*mine["x"][0][-draw_examples.CONTEXT :], mine["y"][0]]
    shown = ["a $ b", "␣", "↵", "∎", "□"]
    assert cells[: len(row)] == [shown[symbol] for symbol in row]
    assert [tick.get_text() for tick in figure.axes[1].get_yticklabels()] == shown


@pytest.mark.parametrize(
    ("kind", "count"), [("images", 9), ("grey", 9), ("colours", 9), ("constant", 9), ("classes", 0)]
)
def test_images_are_drawn_as_images(kind, count, page):
    axis = page(KINDS[kind]).axes[-1]
    shown = [np.asarray(image.get_array()) for image in axis.images]
    assert len(shown) == min(count, KINDS[kind].sizes()[-1])
    assert all(image.min() >= 0 and image.max() <= 1 for image in shown)


@pytest.mark.parametrize(("kind", "axes", "lines"), [("classes", 4, 3), ("series", 4, 3 * 6), ("one number", 1, 4)])
def test_lines_and_points(kind, axes, lines, page):
    drawn = page(KINDS[kind]).axes[-axes:]
    assert [len(axis.lines) for axis in drawn] == [lines] * axes
    mine = KINDS[kind].client(KINDS[kind].ids[0])["x"]
    expected = mine[0].reshape(len(mine[0]), -1)[:, 0] if mine.ndim > 1 else KINDS[kind].client(KINDS[kind].ids[0])["y"]
    np.testing.assert_array_equal(drawn[0].lines[0].get_ydata(), expected)


@pytest.mark.parametrize(("kind", "said"), [("only y", "no array but 'y'"), ("empty rows", "array 'x' are empty")])
def test_what_cannot_be_drawn_is_said(kind, said, page):
    assert said in page(KINDS[kind]).axes[-1].texts[0].get_text()


def test_names_of_classes():
    assert class_names("wearable") == data.exercises()
    assert class_names("plays") == data.characters("plays")
    assert class_names("insurance") == ()


@pytest.mark.slow
@pytest.mark.parametrize("name", list(data.embedded.LOADERS))
def test_embedded_populations_have_pages(name):
    assert len(draw_population.draw(data.load(name), class_names(name))) > 50_000


@pytest.mark.slow
def test_pyplot_is_never_imported():
    look = "import sys, pfljax.run.draw_population; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", look], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"
