"""Some examples of a population, drawn as what they are: images, text, points or lines."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.font_manager import findfont
from matplotlib.ft2font import FT2Font
from matplotlib.ticker import MaxNLocator

from pfljax.data.describe import has_classes
from pfljax.data.population import Population
from pfljax.run.figures import BLUE, GREEN, VERMILION, _clean

COLOURS = (BLUE, VERMILION, GREEN, "#E69F00")  # Okabe and Ito's
CLIENTS = len(COLOURS)  # that examples are of, and of each
SIDE, TEXTS, POINTS, LINES = 3, 6, 100, 3  # SIDE x SIDE images, contexts, points, lines
CONTEXT = 12  # symbols before the target that there is room for
LONGEST = 22  # characters of a client's id, or of a class's name
NO_GLYPH, END = "\N{WHITE SQUARE}", "\N{END OF PROOF}"
VISIBLE = {" ": "\N{OPEN BOX}", "\n": "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}", "\N{SYMBOL FOR END OF TEXT}": END}
LEGEND = f"{VISIBLE[' ']} space    {VISIBLE[chr(10)]} new line    {END} end    {NO_GLYPH} not in this figure's font"

Rows = dict[str, np.ndarray]


def examples(figure: SubFigure, population: Population, names: Sequence[str]) -> None:
    """Some clients' train rows, spread evenly over them. names: of the classes, as from `drawable`.

    Inputs are the array "x", or the first that is not "y". They are drawn as images if a row is [height, width] of
    similar length, or has 1, 3 or 4 channels behind these; as text if it is a line of integers that are classes too;
    as points if it is one number; else as lines over its first axis, one for each channel.
    """
    inputs = [name for name in population.arrays if name != "y"]
    if not inputs:
        nothing(figure.subplots(), "no inputs: there is no array but 'y'")
        return
    name = "x" if "x" in inputs else inputs[0]
    x = population.arrays[name]
    if not x[:1].size:
        nothing(figure.subplots(), f"no inputs: the rows of array {name!r} are empty")
        return
    clients = [population.ids[client] for client in evenly(population.num_clients, CLIENTS)]
    rows = [(short(client, LONGEST), population.client(client)) for client in clients]
    figure.suptitle(f"Examples from train: array {name!r}", fontsize=11, parse_math=False)
    if _is_image(x):
        _images(figure, rows, name, names)
    elif _is_text(population, x):
        _texts(figure, rows, name, names)
    elif x[:1].size == 1:
        _points(figure, rows, name)
    else:
        _lines(figure, rows, name, names)


def _is_image(x: np.ndarray) -> bool:
    shape = x.shape[1:]
    if len(shape) == 3:
        return shape[2] in (1, 3, 4)
    return len(shape) == 2 and min(shape) > 1 and max(shape) <= 2 * min(shape)


def _is_text(population: Population, x: np.ndarray) -> bool:
    is_line = x.ndim == 2 and x.dtype.kind in "iu" and has_classes(population)
    return is_line and x.min() >= 0 and x.max() < population.about.num_classes


def _images(figure: SubFigure, rows: list[tuple[str, Rows]], name: str, names: Sequence[str]) -> None:
    """On one scale of brightness, from the least to the largest value that is shown."""
    chosen = [(title, _some(row, SIDE**2)) for title, row in rows]
    low, high = (float(edge([edge(row[name]) for _, row in chosen])) for edge in (np.min, np.max))
    axes = figure.subplots(1, len(rows), squeeze=False)[0]
    for axis, (title, row) in zip(axes, chosen, strict=True):
        height, width = row[name].shape[1:3]
        for number, image in enumerate((row[name].astype(np.float64) - low) / ((high - low) or 1)):
            left, top = number % SIDE * 1.1 * width, number // SIDE * 1.25 * height
            image = image[..., 0] if image.shape[2:] == (1,) else image
            place = (left, left + width, top + height, top)
            axis.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest", extent=place)
            axis.text(
                left + width / 2, top - 0.03 * height, _target(row, number, names),
                ha="center", va="bottom", fontsize=8, parse_math=False,
            )  # fmt: skip
        axis.set(xlim=(0, (1.1 * SIDE - 0.1) * width), ylim=((1.25 * SIDE - 0.25) * height, -0.25 * height))
        axis.set_title(title, fontsize=9, parse_math=False)
        axis.axis("off")


def _texts(figure: SubFigure, rows: list[tuple[str, Rows]], name: str, names: Sequence[str]) -> None:
    """Every symbol in a cell of its own: scripts that run from right to left stay in the order of the data."""
    axes = figure.subplots(1, len(rows), squeeze=False)[0]
    for axis, (title, row) in zip(axes, rows, strict=True):
        row = _some(row, TEXTS)
        x = row[name][:, -CONTEXT:].astype(np.int64)
        cells = np.concatenate([x, row["y"].reshape(len(x), -1)[:, :1].astype(np.int64)], axis=1)
        for (line, place), cell in np.ndenumerate(cells):
            is_target = place == x.shape[1]
            axis.text(
                place + 0.4 * is_target, line, name_of(names, int(cell)), ha="center", va="center",
                fontsize=11 if names else 7, color=VERMILION if is_target else "black", parse_math=False,
            )  # fmt: skip
        axis.set(xlim=(-0.8, x.shape[1] + 1.2), ylim=(TEXTS - 0.5, -0.5), yticks=[])
        axis.set_title(title, fontsize=9, parse_math=False)
        axis.set_xticks([(x.shape[1] - 1) / 2, x.shape[1] + 0.4], ["context", "y"], fontsize=8)
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
    if names:
        figure.supxlabel(LEGEND, fontsize=8)


def _points(figure: SubFigure, rows: list[tuple[str, Rows]], name: str) -> None:
    axis = figure.subplots()
    for (title, row), colour in zip(rows, COLOURS, strict=False):
        row = _some(row, POINTS)
        x = row[name].reshape(-1)
        y = row["y"].reshape(len(x), -1)[:, 0] if "y" in row else np.zeros(len(x))
        axis.plot(x.astype(np.float64), y.astype(np.float64), "o", color=colour, ms=4, label=title)
    axis.set(xlabel=f"input {name}", ylabel="target y" if all("y" in row for _, row in rows) else "")
    _legend(axis, loc="center left", bbox_to_anchor=(1, 0.5))
    _clean(axis)


def _lines(figure: SubFigure, rows: list[tuple[str, Rows]], name: str, names: Sequence[str]) -> None:
    axes = figure.subplots(1, len(rows), sharey=True, squeeze=False)[0]
    for axis, (title, row) in zip(axes, rows, strict=True):
        row = _some(row, LINES)
        values = row[name].astype(np.float64).reshape(*row[name].shape[:2], -1)  # [example, place, channel]
        is_vector = values.shape[2] == 1
        for number, colour in zip(range(len(values)), COLOURS, strict=False):
            marker = "o" if is_vector and values.shape[1] <= 60 else ""
            lines = axis.plot(values[number], color=colour, lw=1, alpha=0.8, marker=marker, ms=2.5)
            lines[0].set_label(_target(row, number, names))
        axis.set_title(title, fontsize=9, parse_math=False)
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axis.set_xlabel("feature" if is_vector else f"place; {values.shape[2]} channels", fontsize=9)
        _legend(axis, loc="upper left")
        _clean(axis)
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(low, high + 0.3 * (high - low))  # room for legends
    axes[0].set_ylabel(f"value of {name}", parse_math=False)


def _some(row: Rows, most: int) -> Rows:
    """At most `most` of the rows, spread evenly over them."""
    chosen = evenly(len(next(iter(row.values()))), most)
    return {name: array[chosen] for name, array in row.items()}


def _target(row: Rows, number: int, names: Sequence[str]) -> str:
    if "y" not in row:
        return ""
    y = row["y"][number].reshape(-1)[:3].tolist()
    said = [name_of(names, each) if isinstance(each, int) else f"{each:.3g}" for each in y]
    return ("" if names else "y ") + ", ".join(said)


def _legend(axis: Axes, **where) -> None:
    if not axis.get_legend_handles_labels()[1]:
        return
    for text in axis.legend(frameon=False, fontsize=8, **where).get_texts():
        text.set_parse_math(False)


def drawable(names: Sequence[str]) -> list[str]:
    """Names in signs that the figure's font has: whitespace becomes visible, what it lacks becomes NO_GLYPH."""
    known = FT2Font(findfont("DejaVu Sans")).get_charmap()
    shown = [VISIBLE.get(name, name) for name in names]
    return [name if all(ord(mark) in known for mark in name) else NO_GLYPH for name in shown]


def name_of(names: Sequence[str], label: int) -> str:
    """What a class is called, or its number."""
    return short(names[label], LONGEST) if label < len(names) else str(label)


def short(name: str, most: int) -> str:
    return name if len(name) <= most else name[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def evenly(number: int, most: int) -> np.ndarray:
    """[at most `most`] int64: positions spread evenly over `number` of them, the first and the last included."""
    return np.linspace(0, number - 1, min(number, most)).round().astype(np.int64)


def nothing(axis: Axes, why: str) -> None:
    axis.text(0.5, 0.5, why, ha="center", va="center", transform=axis.transAxes, parse_math=False)
    axis.axis("off")
