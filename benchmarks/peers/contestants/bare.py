"""A yardstick: the work's SGD steps and nothing else. One loop of plain steps per core, started together.

The same model, gather, conversion and shuffle as pfljax's, but one set of parameters per core that goes from step
to step: no start from the server's model, no sums, no server, no plan. What a round can cost at best.
"""

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


def prepare(work: Work, threads: int) -> Runner:
    if work.inner_lr:
        raise NotImplementedError("bare takes plain SGD steps, no meta-steps")
    devices = jax.devices()[:threads]
    model = parts.model(work, parts.population(work))
    vars = parts.start(work, model)
    arrays = [jax.device_put(work.arrays, device) for device in devices]
    starts = [jax.device_put(vars.params, device) for device in devices]
    descend = jax.jit(partial(_descend, work, model, vars.stats))
    now = [jax.tree.map(jnp.copy, start) for start in starts]
    pool = ThreadPoolExecutor(len(devices))

    room, rounds_a_call = _room(work)

    def call(index, params, clients):
        table = jax.device_put(_table(work, clients, room), devices[index])
        return descend(params, arrays[index], *table)

    def run(first, count):
        cohorts = work.schedule[first : first + count]
        blocks = [cohorts[begin : begin + rounds_a_call] for begin in range(0, count, rounds_a_call)]
        shares = [[_deal(work, cohort, len(devices)) for cohort in block] for block in blocks]
        tables = [
            [_table(work, np.concatenate([share[index] for share in block]), room) for block in shares]
            for index in range(len(devices))
        ]
        tables = [jax.device_put(mine, device) for mine, device in zip(tables, devices, strict=True)]

        def on_core(index):
            for table in tables[index]:
                now[index] = jax.block_until_ready(descend(now[index], arrays[index], *table))

        begin = time.perf_counter()
        list(pool.map(on_core, range(len(devices))))
        return count, time.perf_counter() - begin

    def params():
        """What the check asks for: every client of the first round from the start, then their mean."""
        each = [parts.named(call(0, starts[0], np.array([client]))) for client in work.schedule[0]]
        return {name: np.mean([mine[name] for mine in each], axis=0) for name in each[0]}

    return Runner(run, params, lambda: parts.loss(work, model, vars), "no federation: a bound, not a simulator")


def _descend(work: Work, model, stats, params, arrays, client, start, count, step, num):
    """SGD over a table of steps: client, start, count, step: [step] int32; num: how many of them to take."""
    key = jax.random.key(work.seed)

    def loss(params, rows, mask):
        batch = rows | {"mask": mask}
        value, weight = model.loss(model.apply(Vars(params, stats), batch, key, True)[0], batch)
        weight = jnp.where(mask, weight, 0)
        return (value * weight).sum() / weight.sum()

    def take(index, params):
        position = step[index] * work.batch + jnp.arange(work.batch, dtype=jnp.int32)
        mask = position < count[index]
        order = permute(jax.random.fold_in(key, client[index]), jnp.where(mask, position, 0), count[index])
        rows = {name: array.at[start[index] + order].get(mode="clip") for name, array in arrays.items()}
        grads = jax.grad(loss)(params, rows, mask)
        return jax.tree.map(lambda w, g: w - work.lr * g, params, grads)

    return lax.fori_loop(0, num, take, params)


def _table(work: Work, clients: np.ndarray, room: int):
    """(client, start, count, step: [room] int32, num steps) of the clients' epochs, one after the other."""
    steps = work.steps[clients]
    step = np.arange(steps.sum()) - np.repeat(np.cumsum(steps) - steps, steps)
    columns = np.stack([clients, work.offsets[clients], work.sizes[clients]]).repeat(steps, axis=1)
    padded = np.zeros((4, room), np.int32)
    padded[:, : len(step)] = [*columns, step]
    return *padded, np.int32(len(step))


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
    serve(prepare, lambda: {"pfljax": pfl.__version__, "jax": jax.__version__})
