"""What an evaluation says, in words and as a table."""

from collections.abc import Mapping

import numpy as np
from rich.table import Table

from pfljax import keys
from pfljax.evaluate import Evaluation
from pfljax.run.job import FINETUNED

SIGNIFICANT = 0.05
COLUMNS = ("model", "clients", "steps", "mean", "weighted_mean", "std", "p10", "p90", "worst", "hurt")


def verdict(evaluation: Evaluation, personal: str) -> str:
    """One sentence: what personalization did, for whom, and whether the method did more than fine-tuning."""
    is_seen = bool(evaluation.seen.all())
    mine, other = evaluation.figures(personal, is_seen), evaluation.figures(evaluation.against, is_seen)
    if not mine:
        return "No client has test rows, so nothing can be said."
    tail = "p10" if evaluation.entries[0].curve.better[evaluation.metric] == "higher" else "p90"  # the worse end
    said = (
        f"On {'seen' if is_seen else 'unseen'} clients, {personal} reaches a mean test {evaluation.metric} of "
        f"{mine['mean']:.3f} against {other['mean']:.3f} for {evaluation.against} "
        f"({tail} {mine[tail]:.3f} against {other[tail]:.3f}) and leaves {mine['hurt']:.1%} of clients worse off"
    )
    return f"{said}." if personal == FINETUNED else f"{said}; {_compared(evaluation, personal, FINETUNED, is_seen)}."


def _compared(evaluation: Evaluation, name: str, other: str, is_seen: bool) -> str:
    """Client by client: paired differences are far less noisy than two means."""
    gain = gains(evaluation, name, other)[evaluation.seen == is_seen]
    gain = gain[~np.isnan(gain)]
    chance = sign_flip_chance(gain)
    figures = f"mean gain {gain.mean():+.4f}, p = {chance:.2g} by sign flips over {len(gain)} clients, one seed"
    if chance > SIGNIFICANT:
        return f"no difference from {other} can be told ({figures})"
    return f"that is {'better' if gain.mean() > 0 else 'worse'} than {other} ({figures})"


def sign_flip_chance(gain: np.ndarray, num_flips: int = 10_000) -> float:
    """How often a mean this far from 0 comes up if every client's gain could as well have had the other sign."""
    signs = keys.host(0, "sign flips").choice([-1.0, 1.0], (num_flips, len(gain)))
    # The flip that was observed counts too, so that the answer is never 0.
    num_as_far = 1 + int(np.sum(np.abs(signs @ gain) >= np.abs(gain.sum()) - 1e-9))
    return num_as_far / (num_flips + 1)


def best_lines(best: Mapping[str, Mapping]) -> tuple[str, ...]:
    """What the manifest says of each phase's best round, in words.

    >>> best_lines({"fedavg": {"metric": "loss", "rounds": 20, "figure": 0.5, "checkpoint": "checkpoints/fedavg/20"}})
    ('best validation loss of fedavg: 0.500 after 20 rounds, kept in checkpoints/fedavg/20',)
    """
    return tuple(
        f"best validation {each['metric']} of {phase}: {each['figure']:.3f} after {each['rounds']} "
        f"round{'s' if each['rounds'] > 1 else ''}" + (f", kept in {each['checkpoint']}" if each["checkpoint"] else "")
        for phase, each in best.items()
    )


def gains(evaluation: Evaluation, name: str, against: str) -> np.ndarray:
    """[client]: how much better than `against`, whichever end of the metric is good."""
    entry = evaluation.entry(name)
    sign = 1 if entry.curve.better[evaluation.metric] == "higher" else -1
    return sign * (entry.test() - evaluation.entry(against).test())


def table(evaluation: Evaluation) -> Table:
    """The rows of an evaluation for a terminal."""
    made = Table(
        title=f"test {evaluation.metric} per client",
        caption=f"steps: chosen on validation rows; hurt: worse than {evaluation.against}",
        title_justify="left",
        caption_justify="left",
    )
    for name in COLUMNS:
        made.add_column(name, justify="left" if name in ("model", "clients") else "right")
    for row in evaluation.rows():
        shown = [f"{row[name]:.3f}" if isinstance(row.get(name), float) else str(row.get(name, "")) for name in COLUMNS]
        made.add_row(*shown, end_section=row["clients"] == "unseen")
    return made
