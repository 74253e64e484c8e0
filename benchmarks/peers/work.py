"""`Work`: what every contestant is given to train. Arrays and numbers on disk, numpy only, the same for all."""

import json
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Work:
    """Clients' rows, who trains in which round, and how.

    arrays:   {"x": [row, ...], "y": [row] int32}, one client after the other; offsets: [client + 1] int64
    schedule: [round, place] int32, the clients that train in each round
    model:    a description for `jax_models` and `torch_models`; params: {name: float32 array}, where training starts
    weighting: the server's mean counts clients by their rows ("examples") or alike ("uniform"); its rate is 1
    inner_lr: of the one inner step of Per-FedAvg; 0 is FedAvg
    folder:   where it was loaded from, for contestants that hand it on to processes of their own
    """

    name: str
    arrays: dict[str, np.ndarray]
    offsets: np.ndarray
    schedule: np.ndarray
    batch: int
    epochs: int
    lr: float
    weighting: str
    model: dict
    params: dict[str, np.ndarray]
    seed: int
    inner_lr: float = 0.0
    folder: str = ""

    @property
    def sizes(self) -> np.ndarray:
        """[client] int64: rows of each client."""
        return np.diff(self.offsets)

    @property
    def steps(self) -> np.ndarray:
        """[client] int64: SGD steps a client takes when it trains; a meta-step takes a batch of either half."""
        rows = -(-self.sizes // 2) if self.inner_lr else self.sizes
        return self.epochs * -(-rows // self.batch)

    def check(self, num_clients: int = 4) -> "Work":
        """The same work on a population whose clients hold one batch of rows each: order cannot matter there."""
        rows = 2 * self.batch if self.inner_lr else self.batch
        chosen = np.flatnonzero(self.sizes >= rows)[:num_clients]
        pick = np.concatenate([np.arange(self.offsets[c], self.offsets[c] + rows) for c in chosen])
        return replace(
            self,
            name=f"{self.name}-check",
            arrays={name: array[pick] for name, array in self.arrays.items()},
            offsets=np.arange(len(chosen) + 1, dtype=np.int64) * rows,
            schedule=np.arange(len(chosen), dtype=np.int32)[None],
            epochs=1,
        )

    def save(self, folder: Path) -> None:
        """Writes the arrays as .npy files (which can be mapped) and the rest as work.json."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, array in self.arrays.items():
            np.save(folder / f"{name}.npy", array)
        np.save(folder / "offsets.npy", self.offsets)
        np.save(folder / "schedule.npy", self.schedule)
        save_params(folder / "params.npz", self.params)
        rest = {field: getattr(self, field) for field in SCALARS} | {"arrays": sorted(self.arrays)}
        (folder / "work.json").write_text(json.dumps(rest, indent=1))


SCALARS = ("name", "batch", "epochs", "lr", "weighting", "model", "seed", "inner_lr")


def load(folder: Path) -> Work:
    """What `Work.save` wrote."""
    folder = Path(folder)
    rest = json.loads((folder / "work.json").read_text())
    arrays = {name: np.load(folder / f"{name}.npy") for name in rest.pop("arrays")}
    offsets, schedule = np.load(folder / "offsets.npy"), np.load(folder / "schedule.npy")
    params = load_params(folder / "params.npz")
    return Work(arrays=arrays, offsets=offsets, schedule=schedule, params=params, folder=str(folder), **rest)


def save_params(path: Path, params: dict[str, np.ndarray]) -> None:
    np.savez(path, **{name.replace("/", "."): np.asarray(array) for name, array in params.items()})


def load_params(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as stored:
        return {name.replace(".", "/"): stored[name] for name in stored.files}


def schedule(num_clients: int, cohort: int, rounds: int, seed: int) -> np.ndarray:
    """[round, place] int32: who trains when, by pfljax's own rule, so that it needs no telling."""
    stream = zlib.crc32(b"sample")
    draw = lambda round: np.random.default_rng([seed, stream, round]).choice(num_clients, cohort, replace=False)
    return np.stack([draw(round) for round in range(rounds)]).astype(np.int32)
