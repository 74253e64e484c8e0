"""The two pictures of a run, as PNG bytes. Colours are Okabe and Ito's, which colour-blind readers tell apart."""

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pfljax.evaluate import Evaluation
from pfljax.run.job import FEDAVG, WARMUP
from pfljax.run.report import gains

BLUE, VERMILION, GREEN = "#0072B2", "#D55E00", "#009E73"
LABELS = {
    WARMUP: "FedAvg, warm start",
    FEDAVG: "FedAvg, trained on",
    "per_fedavg": "MAML, query loss after the inner steps",
    "ditto": "Ditto, shared model",
}

SMOOTH = 9  # rounds in a running mean


def learning_curve(records: Sequence[Mapping], metric: str | None = None) -> bytes:
    """Loss per round: the warm start on the left, what was trained from it on the right.

    metric: whose validation figures stand below, if rounds were looked at
    """
    phases: dict[str, list[Mapping]] = {}
    for record in records:
        phases.setdefault(record["phase"], []).append(record)
    warm = {phase: made for phase, made in phases.items() if phase == WARMUP}
    after = {phase: made for phase, made in phases.items() if phase != WARMUP}
    panels = [panel for panel in (warm, after) if panel]
    num_rows = 1 if metric is None else 2
    figure = Figure(figsize=(4.8 * len(panels) + 0.8, 4.0 * num_rows), layout="constrained")
    axes = figure.subplots(num_rows, len(panels), sharex="col", sharey="row", squeeze=False)
    num_warm = len(warm.get(WARMUP, ()))
    for column, panel in zip(axes.T, panels, strict=True):
        colours = (BLUE, VERMILION) if panel is after else (GREEN,)
        first = num_warm if panel is after else 0
        for (phase, made), colour in zip(panel.items(), colours, strict=False):
            _losses(column[0], LABELS.get(phase, phase), made, first, colour)
            if metric is not None:
                _validation(column[1], made, metric, first, colour)
        column[0].legend(frameon=False, loc="upper right")
        column[-1].set_xlabel("round")
        for axis in column:
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
            _clean(axis)
    axes[0, 0].set_ylabel("training loss, mean over the cohort")
    if metric is not None:
        axes[1, 0].set_ylabel(f"validation {metric} of the shared model")
    has_smooth = any(len(made) >= 2 * SMOOTH for made in phases.values())
    figure.suptitle("Training loss per round" + (f"; bold: mean of {SMOOTH} rounds" if has_smooth else ""))
    return _png(figure)


def _losses(axis, label: str, records: Sequence[Mapping], first: int, colour: str) -> None:
    values = [record.get("loss", float("nan")) for record in records]
    rounds = first + np.arange(1, len(values) + 1)
    is_short = len(values) < 2 * SMOOTH
    axis.plot(
        rounds, values, color=colour, lw=1, alpha=1 if is_short else 0.3, marker="o" if is_short else "", ms=3,
        label=label if is_short else None,
    )  # fmt: skip
    if not is_short:
        axis.plot(rounds, _smooth(values), color=colour, lw=2, label=label)


def _validation(axis, records: Sequence[Mapping], metric: str, first: int, colour: str) -> None:
    name = f"validation_{metric}"
    found = [(first + record["round"] + 1, record[name]) for record in records if name in record]
    axis.plot([round for round, _ in found], [figure for _, figure in found], color=colour, lw=1.5, marker="o", ms=4)


def gain(evaluation: Evaluation, personal: str) -> bytes:
    """What personalization gives every client over the shared model, sorted; seen and unseen clients apart."""
    values = gains(evaluation, personal, evaluation.against)
    groups = [(name, values[evaluation.seen == flag]) for name, flag in (("Seen", True), ("Unseen", False))]
    groups = [(name, group[~np.isnan(group)]) for name, group in groups]
    groups = [(name, group) for name, group in groups if len(group)]
    figure = Figure(figsize=(4.8 * max(len(groups), 1) + 0.8, 4.4), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, max(len(groups), 1), sharey=True)).tolist()
    for axis, (name, group) in zip(axes, groups, strict=False):
        group, place = np.sort(group), np.arange(1, len(group) + 1)
        hurt, width = group < 0, 0.8 if len(group) < 60 else 1.0
        better = axis.bar(place[~hurt], group[~hurt], width, color=BLUE)
        worse = axis.bar(place[hurt], group[hurt], width, color=VERMILION)
        axis.axhline(0, color="black", lw=0.8)
        mean = axis.axhline(group.mean(), color="black", lw=1.2, ls="--")
        axis.set_title(
            f"{name}: {len(group)} clients, mean {group.mean():+.3f}\n{hurt.sum()} worse off ({hurt.mean():.0%})",
            fontsize=11,
        )
        axis.set_xlabel("clients, sorted by gain")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        _clean(axis)
        if axis is axes[0]:
            names = ["better off or as before", "worse off", "mean"]
            figure.legend([better, worse, mean], names, frameon=False, loc="outside lower center", ncols=3)
    axes[0].set_ylabel(f"gain in test {evaluation.metric}")
    figure.suptitle(f"{personal} against {evaluation.against}: what every client gains")
    return _png(figure)


def _smooth(values: Sequence[float]) -> np.ndarray:
    """Mean over SMOOTH rounds around each round, over fewer towards the ends."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    place = np.arange(len(values))
    reach = np.minimum(np.minimum(place, place[::-1]), SMOOTH // 2)
    return (total[place + reach + 1] - total[place - reach]) / (2 * reach + 1)


def _clean(axis) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", alpha=0.25, lw=0.6)
    axis.set_axisbelow(True)


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=150)
    return content.getvalue()
