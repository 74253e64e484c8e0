"""What was measured, as rows, Markdown and a figure."""

import statistics
from dataclasses import asdict, dataclass, field


@dataclass
class Measured:
    """One contestant on one work.

    steps, clients: [repeat] gradient steps and clients a second; start_seconds: load, compile and first round
    rounds: of a repeat, of `cohort` clients each; off: how far its check was from the reference's
    status: "" if all went well, else why there are no figures
    """

    name: str
    is_peer: bool
    variant: str = ""
    status: str = ""
    steps: list[float] = field(default_factory=list)
    clients: list[float] = field(default_factory=list)
    cohort: int = 0
    rounds: int = 0
    start_seconds: float = 0.0
    peak_bytes: int = 0
    off: float | None = None
    note: str = ""
    versions: dict = field(default_factory=dict)

    @property
    def rate(self) -> float | None:
        """Steps a second, the median of the repeats. Of ragged clients steps compare, clients do not."""
        return statistics.median(self.steps) if self.steps and not self.status else None


def ratios(measured: list[Measured]) -> list[dict]:
    """One dict a contestant: its rate over those of the best peer and of the best bare; None where there is none."""
    peers = [m.rate for m in measured if m.is_peer and m.rate]
    bare = max((m.rate for m in measured if m.name == "bare" and m.rate), default=None)
    over = lambda rate, other: rate / other if rate and other else None
    return [
        asdict(m) | {"to_best_peer": over(m.rate, max(peers, default=None)), "to_bare": over(m.rate, bare)}
        for m in measured
    ]


COLUMNS = [
    "contestant",
    "clients/s",
    "spread",
    "steps/s",
    "s a round",
    "to best peer",
    "to bare",
    "peak MiB",
    "start-up s",
    "off by",
    "versions",
]
COLORS = {"bare": "tab:gray", "vmap": "tab:gray"}


def markdown(rows: list[dict]) -> str:
    """A table of `ratios`' rows, fastest first; those without figures below, with the reason."""
    timed = sorted((row for row in rows if not row["status"]), key=lambda row: -statistics.median(row["steps"]))
    lines = [COLUMNS, ["---"] + ["---:"] * (len(COLUMNS) - 2) + ["---"]]
    for row in timed:
        clients = row["clients"]
        times = lambda ratio: "" if ratio is None else f"{ratio:.2f}x"
        lines.append([
            label(row),
            f"{statistics.median(clients):,.4g}",
            f"{min(clients):,.4g} to {max(clients):,.4g}",
            f"{statistics.median(row['steps']):,.4g}",
            f"{row['cohort'] / statistics.median(clients):.3g}",
            times(row["to_best_peer"]),
            times(row["to_bare"]),
            f"{row['peak_bytes'] / 2**20:,.0f}",
            f"{row['start_seconds']:.1f}",
            "" if row["off"] is None else f"{row['off']:.0e}",
            ", ".join(f"{name} {version}" for name, version in row["versions"].items()),
        ])  # fmt: skip
    text = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    reasons = [f"- {label(row)}: {row['status']}" for row in rows if row["status"]]
    notes = [f"- {label(row)}: {row['note']}" for row in timed if row["note"]]
    return "\n\n".join(filter(None, [text, _orders(timed), "\n".join(reasons), "\n".join(notes)])) + "\n"


def _orders(timed: list[dict]) -> str:
    """What exact MAML costs, where both orders were timed."""
    rates = {row["name"]: statistics.median(row["steps"]) for row in timed}
    if not {"pfljax", "pfljax-first"} <= set(rates):
        return ""
    return f"Exact MAML takes {rates['pfljax-first'] / rates['pfljax']:.2f} times as long as first order."


def label(row: dict) -> str:
    return row["name"] + (f" ({row['variant']})" if row["variant"] else "")


def figure(rows: list[dict], title: str, path) -> None:
    """A bar for each contestant's clients a second, on a logarithmic axis, with the spread of its repeats."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    timed = sorted((row for row in rows if not row["status"]), key=lambda row: statistics.median(row["steps"]))
    middles = [statistics.median(row["clients"]) for row in timed]
    low = [middle - min(row["clients"]) for middle, row in zip(middles, timed, strict=True)]
    high = [max(row["clients"]) - middle for middle, row in zip(middles, timed, strict=True)]
    colors = ["tab:blue" if row["is_peer"] else COLORS.get(row["name"], "tab:orange") for row in timed]
    fig, axes = pyplot.subplots(figsize=(7, 0.9 + 0.42 * len(timed)), layout="constrained")
    bars = axes.barh([label(row) for row in timed], middles, xerr=[low, high], color=colors, capsize=3)
    axes.bar_label(bars, [f"{middle:,.4g}" for middle in middles], padding=6)
    axes.set(xscale="log", xlabel="clients a second", title=title)
    axes.set_xlim(min(middles) / 2, max(middles) * 4)
    axes.spines[["top", "right"]].set_visible(False)
    fig.savefig(path, dpi=150)
    pyplot.close(fig)
