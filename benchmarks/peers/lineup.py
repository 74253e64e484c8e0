"""Who takes part."""

from typing import NamedTuple


class Entry(NamedTuple):
    """A contestant. module: in `contestants`; needs: its requirements file, "" for the driver's own environment.

    variants: ways of using it, of which the best counts; yardsticks are no peers.
    """

    about: str
    module: str
    needs: str = ""
    variants: tuple[str, ...] = ("",)

    @property
    def is_peer(self) -> bool:
        return bool(self.needs)


LINEUP = {
    "bare": Entry("yardstick: the same SGD steps without any federation, a loop a core", "bare", variants=("1", "8")),
    "pfljax": Entry("this library: public interface, defaults", "pfljax"),
    "pfljax-first": Entry("for maml: first order instead of exact", "pfljax", variants=("first",)),
    "vmap": Entry("yardstick: jit(vmap(client)) over the padded cohort, on one device", "vmap"),
    "fedjax": Entry("google/fedjax, its jit and its pmap backend", "fedjax", "fedjax", ("jit", "pmap")),
    "pfl": Entry("apple/pfl-research, SimulatedBackend on torch", "pfl", "pfl", ("threads", "processes")),
    "flwr": Entry("Flower's simulation: Ray, torch", "flwr", "flwr"),
    "drjax": Entry("google/drjax: FedAvg written in its primitives", "drjax", "drjax", ("sharded", "single")),
}


def default_names(work: str) -> list[str]:
    """All of them; the first-order one where there is an order."""
    return [name for name in LINEUP if work == "maml" or name != "pfljax-first"]
