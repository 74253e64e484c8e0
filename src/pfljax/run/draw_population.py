"""A population on one page, as PNG bytes: client sizes, who has which labels, and some examples."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, PercentFormatter

from pfljax.data.describe import SPLITS, has_classes, label_counts, moments
from pfljax.data.population import Population
from pfljax.run.draw_examples import drawable, evenly, examples, name_of, nothing, short
from pfljax.run.figures import BLUE, GREEN, VERMILION, _clean, _png

MOST_CLIENTS, MOST_CLASSES = 120, 24  # in the heat map
MOST_NAMED = 30  # clients whose ids stand below it
MOST_SPREADS = 200  # clients whose mean and spread are drawn
TICKS = (0, 0.01, 0.05, 0.1, 0.25, 0.5, 1)  # of shares


def draw(population: Population, names: Sequence[str] = ()) -> bytes:
    """The page as PNG, 1755 x 1275 pixels.

    names: what the classes are called, as by `data.exercises` or, for text, by `data.characters`

    Where there are too many clients or classes to tell apart, some are drawn and the page says how many.
    """
    names = drawable(names)
    figure = Figure(figsize=(11.7, 8.5), layout="constrained")
    about = population.about
    task = f": {about.task}" if about.task else ""
    figure.suptitle(
        f"{about.name}{task} ({population.num_clients:,} clients, {population.num_rows:,} rows)", parse_math=False
    )
    above, below = figure.subfigures(2, 1, height_ratios=(1.15, 1), squeeze=False)[:, 0]
    left, right = above.subplots(1, 2, width_ratios=(1, 1.6))
    _sizes(left, population)
    if has_classes(population):
        _heat_map(right, population, names)
    elif "y" in population.arrays:
        _spreads(right, population)
    else:
        nothing(right, "no targets: there is no array 'y'")
    examples(below, population, names)
    return _png(figure)


def _sizes(axis: Axes, population: Population) -> None:
    place = np.arange(1, population.num_clients + 1)
    for split, colour, style in zip(SPLITS, (BLUE, VERMILION, GREEN), ("-", "-", "--"), strict=True):
        sizes = np.sort(population.sizes(split))[::-1]
        has = sizes > 0
        without = "" if has.all() else f"; {(~has).sum():,} clients have none"
        axis.plot(
            place[has], sizes[has], style, color=colour, lw=1.5, marker="o" if len(place) <= 50 else "", ms=3,
            label=f"{split}, {sizes.sum():,} rows{without}",
        )  # fmt: skip
    axis.set_yscale("log")
    sizes = np.diff(population.offsets)
    axis.set_ylim(0.7, 2 * sizes.max() ** 1.25)  # with room for the legend
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if sizes.max() < 1000 else (1,)))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axis.set(title="Client sizes", xlabel="clients, sorted by size in each split", ylabel="rows of a client, log scale")
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.legend(frameon=False, fontsize=8, loc="upper right")
    _clean(axis)


def _heat_map(axis: Axes, population: Population, names: Sequence[str]) -> None:
    chosen = evenly(population.num_clients, MOST_CLIENTS)
    counts = np.concatenate([label_counts(population, client, client + 1) for client in chosen])
    shares = counts / counts.sum(axis=1, keepdims=True)
    num_classes = population.about.num_classes
    kept = np.arange(num_classes)
    if num_classes > MOST_CLASSES:
        kept = np.sort(np.argsort(-shares.sum(axis=0), kind="stable")[:MOST_CLASSES])
    image = axis.imshow(
        shares[:, kept].T, aspect="auto", interpolation="nearest", cmap="viridis", norm=PowerNorm(0.5, 0, shares.max())
    )
    bar = axis.figure.colorbar(image, ax=axis, pad=0.02, ticks=[tick for tick in TICKS if tick <= shares.max()])
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1, 0))
    bar.set_label("share of the client's rows")
    axis.set_yticks(range(len(kept)), [name_of(names, label) for label in kept.tolist()], fontsize=8, parse_math=False)
    _name_clients(axis, population, chosen)
    which = "" if len(kept) == num_classes else f"; the {len(kept)} of {num_classes:,} that they have most of"
    axis.set(title=f"Labels of each client{which}", ylabel="label")


def _name_clients(axis: Axes, population: Population, chosen: np.ndarray) -> None:
    if len(chosen) <= MOST_NAMED:
        ids = [short(population.ids[client], 18) for client in chosen]
        axis.set_xticks(range(len(chosen)), ids, rotation=90, fontsize=8, parse_math=False)
        axis.set_xlabel("client")
        return
    ticks = np.linspace(0, len(chosen) - 1, 7).round().astype(int)
    axis.set_xticks(ticks, [f"{chosen[tick] + 1:,}" for tick in ticks])
    part = "" if len(chosen) == population.num_clients else f"; {len(chosen)} of {population.num_clients:,}"
    axis.set_xlabel(f"client, in the population's order{part}")


def _spreads(axis: Axes, population: Population) -> None:
    mean, deviation = (part[:, 0] for part in moments(population))
    order = np.argsort(mean, kind="stable")
    order = order[evenly(len(order), MOST_SPREADS)]
    place = np.linspace(1, population.num_clients, len(order))
    axis.vlines(
        place, (mean - deviation)[order], (mean + deviation)[order], color=BLUE, alpha=0.35, lw=1.2,
        label="one standard deviation of the client's rows around it",
    )  # fmt: skip
    axis.plot(place, mean[order], ".", color=BLUE, ms=4, label="mean of a client")
    overall = float(mean @ np.diff(population.offsets)) / population.num_rows
    axis.axhline(overall, color="black", lw=1.2, ls="--", label="mean of all rows")
    part = "" if len(order) == len(mean) else f"; {len(order)} of {len(mean):,} are drawn"
    first = "" if population.arrays["y"][:1].size == 1 else ", the first of each row"
    axis.set(title="Targets of each client", xlabel=f"clients, sorted by mean{part}", ylabel=f"target y{first}")
    axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axis.legend(frameon=False, fontsize=8, loc="upper left")
    _clean(axis)
