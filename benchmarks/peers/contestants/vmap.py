"""A yardstick: what one writes first in JAX. One jitted `vmap` over the cohort a round, padded, on one device."""

import time

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from peers import jax_models
from peers.batches import empty, rectangle
from peers.contestant import Runner, serve
from peers.work import Work


def prepare(work: Work, threads: int) -> Runner:
    if work.inner_lr:
        raise NotImplementedError("vmap takes plain SGD steps, no meta-steps")
    arrays = jax.device_put(work.arrays)
    random = np.random.default_rng(work.seed)
    weights = work.sizes if work.weighting == "examples" else np.ones_like(work.sizes)
    now = [jax.device_put(work.params)]

    @jax.jit
    def train_round(params, arrays, rows, masks, weights):
        changed = jax.vmap(lambda rows, masks: train_client(work, params, arrays, rows, masks))(rows, masks)
        return jax.tree.map(lambda leaf: jnp.tensordot(weights / weights.sum(), leaf, 1), changed)

    for rows, masks in empty(work):
        train_round(now[0], arrays, rows, masks, np.ones(len(rows), np.float32))

    def run(first, count):
        begin = time.perf_counter()
        for cohort in work.schedule[first : first + count]:
            rows, masks = rectangle(work, cohort, random)
            now[0] = train_round(now[0], arrays, rows, masks, weights[cohort].astype(np.float32))
        jax.block_until_ready(now)
        return count, time.perf_counter() - begin

    loss = lambda: float(jax_models.mean_loss(work.model, now[0], **arrays))
    return Runner(run, lambda: jax.device_get(now[0]), loss, "shuffles on the host; pads unequal clients")


def train_client(work: Work, params, arrays, rows, masks):
    """One client's epoch of SGD. rows, masks: [step, batch]."""

    def step(params, batch):
        row, mask = batch
        loss = lambda p: jax_models.mean_loss(work.model, p, arrays["x"][row], arrays["y"][row], mask)
        return jax.tree.map(lambda w, g: w - work.lr * g, params, jax.grad(loss)(params)), None

    return lax.scan(step, params, (rows, masks))[0]


if __name__ == "__main__":
    serve(prepare, lambda: {"jax": jax.__version__})
