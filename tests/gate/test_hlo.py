"""HLO text: a module by hand, and what XLA writes for programs whose loops are known."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from pfljax.gate.hlo import collectives_deeper_than, histogram, parse

MODULE = """\
HloModule jit_f, is_scheduled=true, entry_computation_layout={(f32[8]{0})->f32[8]{0}}

FileNames
1 "a = b(c).py"

%sum (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %add.1 = f32[] add(%a, %b)
}

%inner_body (p: (f32[8], s32[])) -> (f32[8], /*index=1*/s32[]) {
  %p = (f32[8]{0}, /*index=1*/s32[]) parameter(0)
  %x = f32[8]{0:T(128)S(1)} get-tuple-element(%p), index=0
  %all-reduce-start.1 = (f32[8]{0}, f32[8]{0}) all-reduce-start(%x), to_apply=%sum, metadata={op_name="jit(f)/psum"}
  %all-reduce-done.1 = f32[8]{0} all-reduce-done(%all-reduce-start.1)
  ROOT %t = (f32[8]{0}, s32[]) tuple(%all-reduce-done.1, %x)
}

%always (p.1: (f32[8], s32[])) -> pred[] {
  ROOT %c = pred[] constant(true)
}

%outer_body (p.2: (f32[8], s32[])) -> (f32[8], s32[]) {
  %p.2 = (f32[8]{0}, s32[]) parameter(0)
  %gathered = f32[16]{0} all-gather(%p.2), dimensions={0}
  %again = f32[8]{0} call(%p.2), to_apply=%branch
  ROOT %while.1 = (f32[8]{0}, s32[]) while(%p.2), condition=%always, body=%inner_body
}

%branch (q: f32[8]) -> f32[8] {
  ROOT %ps = f32[8]{0} collective-permute(%q), source_target_pairs={{0,1}}
}

ENTRY %main.9 (x.1: f32[8]) -> f32[8] {
  %x.1 = f32[8]{0} parameter(0)
  %cond = f32[8]{0} conditional(%x.1), branch_computations={%branch, %branch}
  %while.2 = (f32[8]{0}, s32[]) while(%x.1), condition=%always, body=%outer_body
  ROOT %fusion = f32[8]{0} fusion(%cond), kind=kLoop, calls=%sum
}
"""


def test_a_module_by_hand():
    module = parse(MODULE)
    assert module.entry == "main.9"
    assert histogram(module) == {
        "add": 1, "all-reduce": 1, "all-gather": 1, "while": 2, "collective-permute": 1, "conditional": 1, "fusion": 1,
    }  # fmt: skip
    assert [collectives_deeper_than(module, depth) for depth in (-1, 0, 1, 2)] == [3, 3, 1, 0]


def compiled(num_loops: int) -> str:
    """A sum over devices within so many loops of a length that XLA cannot know."""
    mesh = Mesh(np.array(jax.devices()[:2]), ("clients",))

    def here(x, n):
        body = lambda x: jnp.cos(lax.psum(x, "clients"))
        for _ in range(num_loops):
            body = lambda x, body=body: lax.fori_loop(jnp.int32(0), n, lambda _, c: body(c), x)
        return body(x)

    mapped = jax.shard_map(here, mesh=mesh, in_specs=(P(), P()), out_specs=P(), check_vma=False)
    return jax.jit(mapped).lower(jnp.ones(3), jnp.int32(2)).compile().as_text()


def test_collectives_of_compiled_loops():
    for num_loops in (0, 1, 2):
        module = parse(compiled(num_loops))
        ops = histogram(module)
        assert (ops["all-reduce"], ops["while"]) == (1, num_loops)
        assert [collectives_deeper_than(module, depth) for depth in (0, 1)] == [num_loops > 0, num_loops > 1]


def test_no_instruction_is_missed():
    """Every line with an assignment is an instruction."""
    text = compiled(2)
    module = parse(text)
    lines = [line for line in text.splitlines() if line.startswith("  ") and " = " in line]
    assert sum(len(each) for each in module.computations.values()) == len(lines)
