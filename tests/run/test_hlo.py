"""What one device does in a round, from HLO text: by hand, and of blocks that XLA compiled for 8 CPU devices."""

from functools import cache

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from pfljax.engine import prepare
from pfljax.gate.hlo import parse
from pfljax.run.ahead import busiest
from pfljax.run.hlo import Collective, Turns, loop_length, moved, payload, read_round
from tests.support.zoo import ALGORITHMS, people, tiny_model

BLOCK = """\
HloModule jit_run_block

%sum (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %add = f32[] add(%a, %b)
}

%unknown (p: (f32[8], s32[])) -> pred[] {
  %p = (f32[8]{0}, s32[]) parameter(0)
  %i = s32[] get-tuple-element(%p), index=1
  ROOT %lt = pred[] compare(%i, %i), direction=LT
}

%three (p.1: (f32[8], s32[])) -> pred[] {
  %c = s32[]{:T(128)} constant(3)
  %p.1 = (f32[8]{0}, s32[]) parameter(0)
  %i.1 = s32[] get-tuple-element(%p.1), index=1
  ROOT %lt.1 = pred[] compare(%i.1, %c), direction=LT, metadata={op_name="lt"}
}

%inner (p.2: (f32[8], s32[])) -> (f32[8], s32[]) {
  %p.2 = (f32[8]{0}, s32[]) parameter(0)
  %x = f32[8]{0} get-tuple-element(%p.2), index=0
  %far = f32[8]{0:T(128)S(1)} negate(%x)
  ROOT %t = (f32[8]{0}, s32[]) tuple(%far, %x)
}

%step (p.3: (f32[8], s32[])) -> (f32[8], s32[]) {
  %p.3 = (f32[8]{0}, s32[]) parameter(0)
  %y = f32[8]{0} exponential(%p.3)
  ROOT %while = (f32[8]{0}, s32[]) while(%p.3), condition=%three, body=%inner
}

%chunk (p.4: (f32[8], s32[])) -> (f32[8], s32[]) {
  %p.4 = (f32[8]{0}, s32[]) parameter(0)
  %inside = f32[8]{0} all-reduce(%p.4), replica_groups={{0,1}}, to_apply=%sum
  ROOT %while.1 = (f32[8]{0}, s32[]) while(%p.4), condition=%unknown, body=%step
}

%group (p.5: (f32[8], s32[])) -> (f32[8], s32[]) {
  %p.5 = (f32[8]{0}, s32[]) parameter(0)
  ROOT %while.2 = (f32[8]{0}, s32[]) while(%p.5), condition=%unknown, body=%chunk
}

%round (p.6: (f32[8], s32[])) -> (f32[8], s32[]) {
  %p.6 = (f32[8]{0}, s32[]) parameter(0)
  %gathered = (f32[4]{0}, f32[16]{0}) all-gather-start(%p.6), replica_groups=[1,4]<=[4], dimensions={0}
  %done = f32[16]{0} all-gather-done(%gathered)
  %total = f32[100]{0} all-reduce(%p.6), replica_groups={{0,1,2,3}}, to_apply=%sum
  ROOT %while.3 = (f32[8]{0}, s32[]) while(%p.6), condition=%unknown, body=%group
}

ENTRY %main (x.1: f32[8]) -> f32[8] {
  %x.1 = f32[8]{0} parameter(0)
  %before = f32[1000]{0} broadcast(%x.1), dimensions={}
  %outside = f32[8]{0} all-reduce(%x.1), to_apply=%sum
  ROOT %while.4 = (f32[8]{0}, s32[]) while(%x.1), condition=%unknown, body=%round
}
"""


def test_a_block_by_hand():
    """2 groups of 3 chunks, 5 steps in each, 3 turns within a step; what stands before the rounds is not in them."""
    found = read_round(BLOCK, Turns(groups=2, chunks=3, steps=5))
    assert found.collectives == (
        Collective("all-gather", 1, 4 * 16, 0),
        Collective("all-reduce", 1 + 6, 4 * 100 + 6 * 4 * 8, 1),
    )
    steps = 2 * 3 * 5
    assert found.instructions == 2 + 6 + steps + 3 * steps
    # The gather is a pair of which both ends are here; what lies in another memory moves nothing.
    assert found.traffic == 2 * (4 * (4 + 16) + 4 * 100 + 6 * 4 * 8 + steps * 4 * 8)


def test_a_loop_of_fixed_length_is_no_level_of_the_plan():
    """Three turns around the groups: the loop within is the first that the plan knows, the next one the second."""
    text = BLOCK.replace("condition=%unknown, body=%group", "condition=%three, body=%group")
    found = read_round(text, Turns(groups=2, chunks=3, steps=5))
    assert found.instructions == 2 + 3 * 2 + 3 * 2 * 3 * (1 + 3)


def only(line: str, others: str = ""):
    text = f"ENTRY %main (x: f32[8]) -> f32[8] {{\n{others}  ROOT %it = {line}\n}}\n"
    program = parse(text)
    return program, program.computations["main"][-1]


@pytest.mark.parametrize(
    ("line", "num_bytes"),
    [
        ("f32[100]{0} all-reduce(%x), replica_groups={{0,1,2,3}}, to_apply=%sum", 400),
        ("(f32[100]{0}, s32[10]{0}) all-reduce(%x, %y), to_apply=%sum", 440),
        ("f32[100]{0} all-reduce-start(%x), to_apply=%sum", 400),
        ("bf16[8,16]{1,0:T(8,128)(2,1)} all-gather(%x), replica_groups={{0,1}}, dimensions={0}", 256),
        ("(pred[16], pred[128]) all-gather-start(%x), replica_groups=[1,8]<=[8]", 128),
        ("f32[1,16]{1,0} reduce-scatter(%x), replica_groups={{0,1,2,3,4,5,6,7}}, to_apply=%sum", 8 * 64),
        ("f32[1,16]{1,0} reduce-scatter(%x), replica_groups=[2,4]<=[8], to_apply=%sum", 4 * 64),
        ("(u32[4]{0}, u32[4]{0}, u32[], u32[]) collective-permute-start(%x), source_target_pairs={{0,1}}", 16),
    ],
)
def test_payloads(line, num_bytes):
    assert payload(only(line)[1]) == num_bytes


@pytest.mark.parametrize(
    ("line", "num_bytes"),
    [
        ("f32[10]{0} add(%x, %y)", 80),
        ("f32[10]{0:T(128)S(1)} add(%x, %y)", 0),
        ("(f32[10]{0}, bf16[4]{0:T(128)S(1)}, s4[6]{0}) fusion(%x), kind=kLoop", 2 * (40 + 3)),
        ("(f32[10]{0:T(128)S(1)}, f32[10]{0}, u32[]{:S(2)}) copy-start(%x)", 40),
        ("((u8[1000]{0}), u8[250]{0:T(128)S(1)}, s32[]{:S(2)}) slice-start(%x), slice={[0:250]}", 250),
        ("(f32[10]{0}, f32[10]{0}, u32[]) copy-start(%x)", 80),
        ("token[] after-all()", 0),
    ],
)
def test_moved(line, num_bytes):
    assert moved(*only(line)) == num_bytes


def test_an_update_in_place_moves_the_update():
    update = "  %new = f32[1,5]{1,0} negate(%x)\n"
    assert moved(*only("f32[100,5]{1,0} dynamic-update-slice(%x, %new, %i, %j)", update)) == 2 * 20
    rows = "f32[100,5]{1,0} scatter(%x, %index, %new), update_window_dims={1}, to_apply=%second"
    assert moved(*only(rows, update)) == 2 * 20
    program = parse(
        "%fused (p: f32[100,5]) -> f32[100,5] {\n"
        "  %new = f32[2,5]{1,0} parameter(1)\n"
        "  ROOT %dus = f32[100,5]{1,0} dynamic-update-slice(%p, %new, %i, %j)\n}\n"
        "ENTRY %main (x: f32[8]) -> f32[8] {\n"
        "  ROOT %f = f32[100,5]{1,0} fusion(%x, %y), kind=kLoop, calls=%fused\n}\n"
    )
    assert moved(program, program.computations["main"][-1]) == 2 * 40


def test_loops_that_xla_knows_the_length_of():
    def f(x, num):
        fixed = lax.scan(lambda c, _: (jnp.sin(c), None), x, None, length=7)[0]
        return lax.fori_loop(jnp.int32(0), num, lambda _, c: jnp.cos(c), fixed)

    text = jax.jit(f).lower(jnp.ones((50,)), jnp.int32(3)).compile().as_text()
    program = parse(text)
    loops = [each for name in program.computations for each in program.computations[name] if each.opcode == "while"]
    assert sorted(loop_length(program, each) or 0 for each in loops) == [0, 7]


@cache
def program_of(name: str, width: int):
    population = people(20)
    return prepare(ALGORITHMS[name](tiny_model(population)), population, cohort=16, width=width, devices=8)


@pytest.mark.parametrize(("name", "width"), [("fedavg", 1), ("fedavg", 2), ("ditto", 2)])
def test_a_round_of_eight_devices(name, width):
    """The sum of a round is one all-reduce of the model, its weight and three counters, outside of the client loops."""
    program = program_of(name, width)
    model = program.job.algorithm.model
    turns, longest = busiest(program.plan(0, 10))
    found = {each.kind: each for each in read_round(program.compiled.as_text(), turns).collectives}
    num_params = sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(model.init, jax.random.key(0)).params))
    assert found["all-reduce"].num == 1
    assert found["all-reduce"].num_bytes == 4 * (num_params + 1 + 3)
    assert all(each.num_in_clients == 0 for each in found.values())
    if name == "fedavg":
        assert set(found) == {"all-reduce"}
    assert turns.groups * turns.chunks * turns.steps == pytest.approx(longest)


def test_steps_turn_as_often_as_the_plan_says():
    """Twice the steps add the step's own instructions once more for each, and nothing else."""
    text = program_of("fedavg", 1).compiled.as_text()
    one, two, three = (read_round(text, Turns(1, 2, steps)).instructions for steps in (1, 2, 3))
    assert three - two == two - one > 10
    assert read_round(text, Turns(1, 4, 1)).instructions > read_round(text, Turns(1, 2, 1)).instructions
