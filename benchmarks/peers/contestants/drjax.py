"""drjax: FedAvg written in its primitives and jitted, the clients' axis sharded over a CPU device a core, or on one."""

import importlib.metadata
import os
import sys
import time

import drjax
import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from peers import jax_models
from peers.batches import empty, rectangle
from peers.contestant import Runner, serve
from peers.contestants.vmap import train_client
from peers.work import Work


def prepare(work: Work, threads: int) -> Runner:
    if work.inner_lr:
        raise NotImplementedError("drjax is primitives, without MAML of its own")
    cohort = work.schedule.shape[1]
    # The clients' axis must divide evenly over the devices.
    num_devices = max(n for n in range(1, len(jax.devices()) + 1) if cohort % n == 0)
    mesh = jax.make_mesh((num_devices,), ("clients",), (AxisType.Auto,), devices=jax.devices()[:num_devices])
    jax.set_mesh(mesh)
    everywhere, by_client = NamedSharding(mesh, P()), NamedSharding(mesh, P("clients"))
    arrays = jax.device_put(work.arrays, everywhere)
    weights = work.sizes if work.weighting == "examples" else np.ones_like(work.sizes)
    random = np.random.default_rng(work.seed)
    now = [jax.device_put(work.params, everywhere)]

    @jax.jit
    @drjax.program(clients=cohort)
    def train_round(params, arrays, rows, masks, weights):
        train = lambda params, rows, masks: train_client(work, params, arrays, rows, masks)
        trained = drjax.map_fn(train, (drjax.broadcast(params), rows, masks))
        return drjax.reduce_weighted_mean(trained, {name: weights for name in params})  # it wants a weight per leaf

    for rows, masks in empty(work):
        told = jax.device_put((rows, masks, np.ones(cohort, np.float32)), by_client)
        train_round(now[0], arrays, *told)

    def run(first, count):
        begin = time.perf_counter()
        for chosen in work.schedule[first : first + count]:
            told = *rectangle(work, chosen, random), weights[chosen].astype(np.float32)
            now[0] = train_round(now[0], arrays, *jax.device_put(told, by_client))
            if num_devices > 1:  # rounds in flight wait for one another's threads in their all-reduces, for ever
                jax.block_until_ready(now)
        jax.block_until_ready(now)
        return count, time.perf_counter() - begin

    loss = lambda: float(jax_models.mean_loss(work.model, now[0], **arrays))
    return Runner(run, lambda: jax.device_get(now[0]), loss, "shuffles on the host; pads unequal clients")


if __name__ == "__main__":
    if sys.argv[1] == "sharded":
        jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))
    serve(prepare, lambda: {name: importlib.metadata.version(name) for name in ("drjax", "jax")})
