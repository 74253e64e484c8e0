"""Real rounds compiled for TPUs that are not here: memory, collectives, operations, refusals.

Needs libtpu (the extra tpu-aot). With it installed, start pytest with JAX_PLATFORMS=cpu.
"""

import importlib.util
from functools import cache

import jax
import numpy as np
import optax
import pytest

import pfljax as pfl
from pfljax.cli import main
from pfljax.engine import prepare
from pfljax.run.ahead import look
from pfljax.run.targets import CHIPS, mesh, target

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("libtpu") is None,
        reason="NOTHING WAS COMPILED FOR TPUS: libtpu is not installed; pip install 'pfljax[tpu-aot]'",
    ),
]

COHORT, ROWS = 64, 24
MAKE = {
    "dense": lambda people: pfl.algorithms.per_fedavg(
        pfl.models.mlp(people, (32,)), optax.sgd(0.1), inner_steps=2, steps=3, batch=8
    ),
    "convolutional": lambda people: pfl.algorithms.fedavg(pfl.models.cnn(people), optax.sgd(0.1), steps=3, batch=8),
    "stateful": lambda people: pfl.algorithms.ditto(
        pfl.models.mlp(people, (32,)), optax.sgd(0.1), lam=0.1, steps=3, batch=8
    ),
}
MANY = [name for name in MAKE if name != "stateful"]


@cache
def crowd():
    """64 clients of as many images; alike, so that devices have the same to do."""
    like = pfl.data.load("digits")
    arrays = {key: np.zeros((COHORT * ROWS, *each.shape[1:]), each.dtype) for key, each in like.arrays.items()}
    bounds = np.tile([ROWS // 2, ROWS * 3 // 4], (COHORT, 1))
    ids = tuple(map(str, range(COHORT)))
    return pfl.data.Population(arrays, np.arange(COHORT + 1) * ROWS, bounds, ids, about=like.about)


def program(name: str, machine: str, **change):
    on = target(machine)
    arguments = {"cohort": COHORT, "unseen": 0.0, "width": 8, "devices": mesh(on), "memory": on.chip.memory} | change
    return prepare(MAKE[name](crowd()), crowd(), **arguments)


@cache
def found(name: str, machine: str):
    return look(program(name, machine), name, target(machine))


def num_params(name: str) -> int:
    model = MAKE[name](crowd()).model
    return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(model.init, jax.random.key(0)).params))


@pytest.mark.parametrize("name", MAKE)
def test_it_fits(name):
    """Parameters, examples and state are all there, and the chip has room for them."""
    made = found(name, "v5e:2x4").estimate
    assert 4 * num_params(name) <= made.server < made.total < target("v5e:2x4").chip.memory == made.free
    assert made.num_devices == 8
    # Rows of a model, whether it was visited and who has it: of eight clients of 64, and twice as many free ones.
    assert made.clients == (3 * COHORT // 8 * (4 * num_params(name) + 1 + 4) if name == "stateful" else 0)


@pytest.mark.parametrize("name", MAKE)
def test_a_round_sums_once(name):
    """One all-reduce of the model's float32 numbers, its weight and three counters; none for each client or step."""
    kinds = {each.kind: each for each in found(name, "v5e:2x4").round.collectives}
    assert all(each.num_in_clients == 0 for each in kinds.values())
    assert "all-gather" not in kinds
    assert kinds["all-reduce"].num == 1
    assert kinds["all-reduce"].num_bytes == 4 * (num_params(name) + 1 + 3)
    assert set(kinds) <= ({"all-reduce", "all-to-all"} if name == "stateful" else {"all-reduce"})


@pytest.mark.parametrize("name", MAKE)
def test_one_chip_has_nobody_to_talk_to(name):
    assert found(name, "v5e:1x1").round.collectives == ()


@pytest.mark.parametrize("name", MAKE)
def test_operations_fall_as_one_by_chips(name):
    one, eight = found(name, "v5e:1x1"), found(name, "v5e:2x4")
    assert eight.operations * 8 == one.operations == one.most_operations
    assert eight.most_operations == eight.operations
    assert eight.prediction.arithmetic * 8 == pytest.approx(one.prediction.arithmetic)


@pytest.mark.parametrize("name", MANY)
def test_what_a_chip_sends_does_not_grow_with_the_chips(name):
    eight, sixty_four = (found(name, machine).round for machine in ("v5e:2x4", "v5e:8x8"))
    total = lambda round: sum(each.num_bytes for each in round.collectives)
    assert total(sixty_four) == total(eight)


@pytest.mark.parametrize("machine", ["v4:2x2x1", "v5p:2x2x1", "v6e:2x2", "tpu7x:2x2x1"])
def test_other_generations(machine):
    kinds = {each.kind: each for each in found("dense", machine).round.collectives}
    assert set(kinds) == {"all-reduce"}
    assert kinds["all-reduce"].num_in_clients == 0


def test_streamed_examples():
    made = look(program("dense", "v5e:2x2", examples="streamed"), "dense", target("v5e:2x2"))
    assert made.estimate.is_streamed
    assert {each.kind for each in made.round.collectives} == {"all-reduce"}


@pytest.mark.parametrize("chip", CHIPS, ids=lambda chip: chip.name)
def test_every_topology_exists(chip):
    """All that the table lists; libtpu refuses what it does not know."""
    for shape in chip.shapes:
        of = target(f"{chip.name}:{'x'.join(map(str, shape))}")
        assert mesh(of).size == of.num_devices
    if chip.shapes:
        several = target(f"{chip.name}:{'x'.join(map(str, chip.shapes[1]))}:2")
        slices = {device.slice_index for device in mesh(several).devices.flat}
        assert (mesh(several).size, slices) == (several.num_devices, {0, 1})


def test_the_memory_of_the_table_is_what_the_compiler_allows():
    """A program that takes 1 % more than the table says is refused, and one that takes 10 % less is not."""
    for name in ("v5e:2x2", "v6e:2x2"):
        on = target(name)
        everywhere = jax.sharding.NamedSharding(mesh(on), jax.sharding.PartitionSpec())

        def compiled(num_bytes: float, everywhere=everywhere):
            shape: jax.ShapeDtypeStruct = jax.ShapeDtypeStruct((int(num_bytes) // 4,), np.float32, sharding=everywhere)
            return jax.jit(lambda x: x.sum()).lower(shape).compile()

        compiled(0.9 * on.chip.memory)
        with pytest.raises(jax.errors.JaxRuntimeError, match="RESOURCE_EXHAUSTED"):
            compiled(1.01 * on.chip.memory)


def test_what_does_not_fit_is_refused_with_the_number(capsys):
    words = ["compile", "digits", "--target", "v5e:1x1", "--warmup.batch", "20000000", "--engine.width", "1"]
    assert main(words) == 2
    err = capsys.readouterr().err
    assert err.startswith("pfljax: memory: expected one client at a time to fit, got ")
    assert "exceeds available HBM (15.75G)" in err


def test_the_command(capsys):
    assert main(["compile", "digits", "--target", "v5e:2x4", "--cohort", "10"]) == 0
    out = capsys.readouterr().out
    for part in (
        "digits, fedavg_finetune: 10 clients a round on v5e:2x4 (8 chips), width 2",
        "digits, per_fedavg: 10 clients a round",
        "3 of 8 devices have no client",
        "between them 1 all-reduce of ",
        "of 15.8 GiB",
    ):
        assert part in out
