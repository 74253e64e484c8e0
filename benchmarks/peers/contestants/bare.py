"""A yardstick: the work's SGD steps and nothing else. A loop of plain steps on each core, started together.

The same model, gather, conversion and shuffle as pfljax's, but parameters that go from step to step: no start from
the server's model, no sums, no server, no plan. A loop takes one step at a time or, as `width`, some side by side, each
on parameters of its own; which is faster depends on the model. What a round can cost at best.
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import pfljax as pfl
from peers.contestant import Runner, serve
from peers.contestants import pfljax_parts as parts
from peers.work import Work
from pfljax.data.shuffle import permute
from pfljax.types import Vars

ROOM = 2**17


def prepare(work: Work, threads: int, width: int) -> Runner:
    if work.inner_lr:
        raise NotImplementedError("bare takes plain SGD steps, no meta-steps")
    devices = jax.devices()[:threads]
    model = parts.model(work, parts.population(work))
    vars = parts.start(work, model)
    arrays = [jax.device_put(work.arrays, device) for device in devices]
    wide = jax.tree.map(lambda leaf: np.repeat(leaf[None], width, axis=0), vars.params)
    now = [jax.device_put(wide, device) for device in devices]
    descend = jax.jit(partial(_descend, work, model, vars.stats))
    room, rounds_a_call = _room(work)
    pool = ThreadPoolExecutor(len(devices))

    def tables(cohorts):
        """[device]: what each is to do in one call."""
        shares = [_deal(work, cohort, len(devices) * width) for cohort in cohorts]
        lanes = [_table(work, np.concatenate(mine), room) for mine in zip(*shares, strict=True)]
        by_device = [lanes[begin : begin + width] for begin in range(0, len(lanes), width)]
        return [jax.device_put(np.stack(mine), device) for mine, device in zip(by_device, devices, strict=True)]

    def run(first, count):
        cohorts = work.schedule[first : first + count]
        calls = [tables(cohorts[begin : begin + rounds_a_call]) for begin in range(0, count, rounds_a_call)]

        def on_core(index):
            for call in calls:
                now[index] = jax.block_until_ready(descend(now[index], arrays[index], call[index]))

        begin = time.perf_counter()
        list(pool.map(on_core, range(len(devices))))
        return count, time.perf_counter() - begin

    def params():
        """What the check asks for: every client of the first round from the start, then their mean."""
        table = lambda client: np.stack([_table(work, np.array([client]), room)] * width)
        each = [descend(jax.device_put(wide, devices[0]), arrays[0], table(client)) for client in work.schedule[0]]
        named = [parts.named(jax.tree.map(lambda leaf: leaf[-1], mine)) for mine in each]
        return {name: np.mean([mine[name] for mine in named], axis=0) for name in named[0]}

    return Runner(run, params, lambda: parts.loss(work, model, vars), "no federation: a bound, not a simulator")


def _descend(work: Work, model, stats, params, arrays, table):
    """SGD over a table of steps, [lane, 5, step] int32; params: [lane, ...]."""
    key = jax.random.key(work.seed)

    def loss(params, rows, mask):
        batch = rows | {"mask": mask}
        value, weight = model.loss(model.apply(Vars(params, stats), batch, key, True)[0], batch)
        weight = jnp.where(mask, weight, 0)
        return (value * weight).sum() / jnp.maximum(weight.sum(), 1)

    def take(params, index, client, start, count, step):
        position = step[index] * work.batch + jnp.arange(work.batch, dtype=jnp.int32)
        mask, most = position < count[index], jnp.maximum(count[index], 1)  # a lane that has finished has no rows
        order = permute(jax.random.fold_in(key, client[index]), jnp.where(mask, position, 0), most)
        rows = {name: array.at[start[index] + order].get(mode="clip") for name, array in arrays.items()}
        grads = jax.grad(loss)(params, rows, mask)
        return jax.tree.map(lambda w, g: w - work.lr * g, params, grads)

    columns, num = [table[:, column] for column in range(4)], table[:, 4, 0].max()
    if len(table) == 1:  # a batch of one matmul is not always taken for a matmul
        alone = [column[0] for column in columns]
        params = lax.fori_loop(0, num, lambda i, p: take(p, i, *alone), jax.tree.map(lambda leaf: leaf[0], params))
        return jax.tree.map(lambda leaf: leaf[None], params)
    lanes = jax.vmap(take, in_axes=(0, None, 0, 0, 0, 0))
    return lax.fori_loop(0, num, lambda i, p: lanes(p, i, *columns), params)


def _table(work: Work, clients: np.ndarray, room: int) -> np.ndarray:
    """[5, room] int32: client, start, count, step of the clients' epochs, one after the other; how many steps."""
    steps = work.steps[clients]
    step = np.arange(steps.sum()) - np.repeat(np.cumsum(steps) - steps, steps)
    columns = np.stack([clients, work.offsets[clients], work.sizes[clients]]).repeat(steps, axis=1)
    table = np.zeros((5, room), np.int32)
    table[:4, : len(step)] = [*columns, step]
    table[4] = len(step)
    return table


def _deal(work: Work, cohort: np.ndarray, num: int) -> list[np.ndarray]:
    """The cohort split among cores, longest first to the least loaded."""
    loads, shares = np.zeros(num), [[] for _ in range(num)]
    for client in cohort[np.argsort(-work.steps[cohort], kind="stable")]:
        index = int(loads.argmin())
        loads[index] += work.steps[client]
        shares[index].append(client)
    return [np.array(share, dtype=np.int64) for share in shares]


def _room(work: Work) -> tuple[int, int]:
    """(steps that a call has room for, rounds that surely fit): one shape, so that nothing compiles twice."""
    most = int(np.sort(work.steps)[-work.schedule.shape[1] :].sum())
    room = max(ROOM, 1 << (most - 1).bit_length())
    return room, room // most


if __name__ == "__main__":
    pfl.use_cores()
    serve(partial(prepare, width=int(sys.argv[1])), lambda: {"pfljax": pfl.__version__, "jax": jax.__version__})
