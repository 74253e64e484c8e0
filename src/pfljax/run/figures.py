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


def learning_curve(records: Sequence[Mapping]) -> bytes:
    """Loss per round: the warm start on the left, what was trained from it on the right."""
    losses: dict[str, list[float]] = {}
    for record in records:
        losses.setdefault(record["phase"], []).append(record.get("loss", float("nan")))
    warm = {phase: values for phase, values in losses.items() if phase == WARMUP}
    after = {phase: values for phase, values in losses.items() if phase != WARMUP}
    panels = [panel for panel in (warm, after) if panel]
    figure = Figure(figsize=(4.8 * len(panels) + 0.8, 4.0), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(panels), sharey=True)).tolist()
    num_warm = len(warm.get(WARMUP, ()))
    for axis, panel in zip(axes, panels, strict=True):
        colours = (BLUE, VERMILION) if panel is after else (GREEN,)
        for (phase, values), colour in zip(panel.items(), colours, strict=False):
            first = num_warm if panel is after else 0
            rounds = first + np.arange(1, len(values) + 1)
            is_short = len(values) < 2 * SMOOTH
            axis.plot(
                rounds, values, color=colour, lw=1, alpha=1 if is_short else 0.3, marker="o" if is_short else "", ms=3,
                label=LABELS.get(phase, phase) if is_short else None,
            )  # fmt: skip
            if not is_short:
                axis.plot(rounds, _smooth(values), color=colour, lw=2, label=LABELS.get(phase, phase))
        axis.set_xlabel("round")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.legend(frameon=False, loc="upper right")
        _clean(axis)
    axes[0].set_ylabel("training loss, mean over the cohort")
    has_smooth = any(len(values) >= 2 * SMOOTH for values in losses.values())
    figure.suptitle("Training loss per round" + (f"; bold: mean of {SMOOTH} rounds" if has_smooth else ""))
    return _png(figure)


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
