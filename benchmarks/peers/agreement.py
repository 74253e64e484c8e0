"""Whether contestants train the same thing: the same loss before, the same parameters after one round."""

import numpy as np

TOLERANCE = 1e-4


def difference(start: dict, reference: dict, params: dict) -> float:
    """How far `params` are from the reference after a round, relative to how far the round moved.

    Relative to the parameters themselves a wrong learning rate would hide: a round moves them by little. Each: {name:
    array}. Infinite where names, shapes or finiteness differ.
    """
    if {name: array.shape for name, array in params.items()} != {name: a.shape for name, a in reference.items()}:
        return float("inf")
    flat = lambda tree: np.concatenate([np.ravel(tree[name]).astype(np.float64) for name in sorted(reference)])
    off = np.linalg.norm(flat(params) - flat(reference)) / np.linalg.norm(flat(reference) - flat(start))
    return float(off) if np.isfinite(off) else float("inf")


def verdict(start: dict, reference: tuple[float, dict], mine: tuple[float, dict]) -> tuple[float, str]:
    """(how far off, "" or what is wrong) of (initial loss, parameters after a round) against the reference's."""
    (loss, params), (my_loss, my_params) = reference, mine
    off_loss, off = abs(my_loss - loss) / abs(loss), difference(start, params, my_params)
    if not off_loss <= TOLERANCE:
        return off, f"trains something else: initial loss {my_loss:.6g}, expected {loss:.6g}"
    if not off <= TOLERANCE:
        return off, f"trains something else: after a round it is off by {off:.2g} of the way the reference moved"
    return off, ""
