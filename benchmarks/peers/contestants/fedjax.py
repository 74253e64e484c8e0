"""fedjax: its own federated_averaging over its ClientDatasets, with the jit or the pmap backend."""

import importlib.metadata
import os
import sys
import time
from functools import partial

import fedjax
import jax
import numpy as np
from fedjax.algorithms import fed_avg

from peers import jax_models
from peers.contestant import Runner, serve
from peers.work import Work


def prepare(work: Work, threads: int, backend: str) -> Runner:
    if work.inner_lr:
        raise NotImplementedError("fedjax has no MAML")
    if work.weighting == "uniform" and len(set(work.sizes)) > 1:
        raise NotImplementedError("its FedAvg always weights by examples")
    fedjax.set_for_each_client_backend(backend)
    examples = {"x": jax_models.as_float(work.arrays["x"]), "y": work.arrays["y"]}
    bounds = list(zip(work.offsets[:-1], work.offsets[1:], strict=True))
    datasets = [fedjax.ClientDataset({name: a[i:j] for name, a in examples.items()}) for i, j in bounds]
    loss = partial(jax_models.mean_loss, work.model, conv=jax_models.lax_conv)
    algorithm = fed_avg.federated_averaging(
        jax.grad(lambda params, batch, rng: loss(params, batch["x"], batch["y"])),
        fedjax.optimizers.sgd(work.lr),
        fedjax.optimizers.sgd(1.0),
        fedjax.ShuffleRepeatBatchHParams(batch_size=work.batch, num_epochs=work.epochs),
    )
    state = [algorithm.init({name: jax.numpy.asarray(array) for name, array in work.params.items()})]

    def run(first, count):
        begin = time.perf_counter()
        for round in range(first, first + count):
            keys = jax.random.split(jax.random.PRNGKey(round), work.schedule.shape[1])
            clients = [(int(c), datasets[c], key) for c, key in zip(work.schedule[round], keys, strict=True)]
            state[0], _ = algorithm.apply(state[0], clients)
            if backend == "pmap":  # under this jax it returns parameters with a leading axis of one
                trim = lambda leaf, like: leaf.reshape(like.shape)
                state[0] = state[0].replace(params=jax.tree_util.tree_map(trim, state[0].params, work.params))
        jax.block_until_ready(state[0].params)
        return count, time.perf_counter() - begin

    note = "shuffles on the host; fills a client's last batch with rows it has seen"
    params = lambda: {name: np.asarray(array) for name, array in state[0].params.items()}
    return Runner(run, params, lambda: float(loss(state[0].params, **examples)), note)


if __name__ == "__main__":
    if sys.argv[1] == "pmap":  # one CPU device per core for it to spread clients over
        os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={len(os.sched_getaffinity(0))}"
    versions = {name: importlib.metadata.version(name) for name in ("fedjax", "jax")}
    serve(partial(prepare, backend=sys.argv[1]), lambda: versions)
