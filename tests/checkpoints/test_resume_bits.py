"""A run that is stopped, at whatever block and however often, ends with the bits of one that is not."""

import jax
import numpy as np
import optax
import pytest

import pfljax as pfl
from pfljax import algorithms
from pfljax.checkpoints import Checkpoints
from pfljax.checkpoints.fingerprint import fingerprint
from pfljax.checkpoints.keep import Interrupted, kept
from pfljax.checkpoints.store import Store
from tests.support.runs import bits

ROUNDS = 2


def population(num_clients: int = 10) -> pfl.data.Population:
    """Clients of 8 rows each; their number is no multiple of the devices."""
    rng = np.random.default_rng(0)
    clients = {
        str(client): {"x": rng.normal(size=(8, 3)).astype(np.float32), "y": rng.integers(0, 2, 8).astype(np.int32)}
        for client in range(num_clients)
    }
    return pfl.data.Population.from_clients(clients, about=pfl.data.About(num_classes=2))


PEOPLE = population()
MODEL = pfl.models.mlp(PEOPLE, [])
MOMENTUM = optax.sgd(0.5, momentum=0.9)
KINDS = {
    "fedavg": (algorithms.fedavg(MODEL, optax.sgd(0.1), steps=2, batch=4), {}),
    "momentum": (algorithms.fedavg(MODEL, optax.sgd(0.1), server_opt=MOMENTUM, steps=2, batch=4), {}),
    "scaffold": (algorithms.scaffold(MODEL, steps=2, batch=4), {"state": "device"}),
    "scaffold, host": (algorithms.scaffold(MODEL, steps=2, batch=4), {"state": "host"}),
    "ditto": (algorithms.ditto(MODEL, optax.sgd(0.1), steps=2, batch=4), {"state": "device"}),
}
SLOW = ("fedavg", "ditto")


def go(folder, algorithm, *, is_stopped, rounds=ROUNDS, keep=2, **change) -> pfl.Result | int:
    """The result; if the run is stopped after its first block, the rounds that are done."""
    arguments = {"cohort": 4, "seed": 1, "devices": 4, "block": 1, "unseen": 0.2} | change
    about = fingerprint(algorithm, PEOPLE, {})
    with Store(Checkpoints(folder, every=1e6, keep=keep), about) as store:
        blocks = pfl.rounds(algorithm, PEOPLE, rounds=rounds, resume=store.resume, **arguments)
        try:
            *_, block = kept(blocks, store, rounds, lambda: is_stopped)
        except Interrupted:
            return store.rounds[-1]
        return block.result()


def state(result) -> np.ndarray:
    """[number]: all that a run leaves, without the padding of the client axis and the speeds in the records."""
    clients = jax.tree.map(lambda leaf: np.asarray(leaf)[: PEOPLE.num_clients], result.clients)
    losses = [each["loss"] for each in result.records]
    assert [each["round"] for each in result.records] == list(range(len(losses)))
    return bits((result.server, clients, losses))


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=[pytest.mark.slow] * (kind in SLOW)) for kind in KINDS])
def test_stopped_after_every_block(tmp_path, kind):
    algorithm, change = KINDS[kind]
    whole = go(tmp_path / "whole", algorithm, is_stopped=False, **change)
    done = [go(tmp_path / "parts", algorithm, is_stopped=True, **change) for _ in range(ROUNDS)]
    assert done == [1, 2]
    again = go(tmp_path / "parts", algorithm, is_stopped=False, **change)
    np.testing.assert_array_equal(state(again), state(whole))
    assert np.ptp(state(whole)) > 0


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
def test_saved_on_eight_devices_and_gone_on_with_on_fewer(tmp_path, as_shipped, devices):
    """Ten clients are padded to sixteen rows there; ordered sums have the same bits on any number of devices."""
    algorithm, change = KINDS["scaffold"]
    change = change | {"reduction": "ordered", "width": 1}
    whole = go(tmp_path / "whole", algorithm, is_stopped=False, devices=8, **change)
    assert go(tmp_path / "parts", algorithm, is_stopped=True, devices=8, **change) == 1
    again = go(tmp_path / "parts", algorithm, is_stopped=False, devices=devices, **change)
    np.testing.assert_array_equal(state(again), state(whole))


@pytest.mark.slow
def test_state_may_move_between_devices_and_host(tmp_path):
    algorithm, _ = KINDS["scaffold"]
    whole = go(tmp_path / "whole", algorithm, is_stopped=False, state="device")
    assert go(tmp_path / "parts", algorithm, is_stopped=True, state="device") == 1
    again = go(tmp_path / "parts", algorithm, is_stopped=False, state="host")
    np.testing.assert_array_equal(state(again), state(whole))
