"""The same rounds as a plain Python loop over clients: the readable specification that tests compare with.

One client at a time, on one device; only a client's own work is compiled. For debugging, run it under
`jax.disable_jit()` and step into a client with real numbers.
"""

import jax
import jax.numpy as jnp
import numpy as np

from pfljax import keys
from pfljax.aggregate import contribution, finish, individuals
from pfljax.data.population import Population
from pfljax.engine.place import max_count, placed_on_host, shard_of
from pfljax.engine.start import initial_server
from pfljax.plan import Sampler, hold_out
from pfljax.types import Aggregate, Algorithm, Census, Tree
from pfljax.upload.transforms import Transform, applied


def simulate(
    algorithm: Algorithm,
    population: Population,
    *,
    cohort: int,
    rounds: int,
    seed: int | keys.Seeds = 0,
    unseen: float = 0.2,
    params: Tree = None,
    upload: Transform | None = None,
) -> tuple[Tree, dict[int, Tree], list[dict[int, dict]]]:
    """(server, {row: client state}, one {row: Info} a round). Arguments as in `pfljax.simulate`."""
    seeds, sizes = keys.seeds(seed), population.sizes("train")
    seen = hold_out(population, unseen, seeds.split)
    steps, most = algorithm.steps(sizes), max_count(population)
    sampler = Sampler(np.flatnonzero(seen), cohort, seeds.sampling)
    census = Census(population.num_clients, seen, sizes)
    server = initial_server(algorithm, census, seeds, params)
    placed = jax.tree.map(jnp.asarray, placed_on_host(population))
    key = keys.use(keys.root(seeds.model), "clients")
    send, init_client = jax.jit(algorithm.send), jax.jit(algorithm.init_client)
    passes = [(jax.jit(_with_shard(client, most)), jax.jit(server)) for client, server in algorithm.passes]
    kept, infos = {}, []
    for round in range(rounds):
        rows = np.sort(sampler.sample(round))
        info: dict[int, dict] = {int(row): {} for row in rows}
        for index, (client, server_step) in enumerate(passes):
            key_pass, uploads, each, like = keys.at(key, index), [], [], None
            for row in rows:
                key_client = keys.client(key_pass, round, jnp.int32(row))
                sent = send(server, jnp.int32(row))
                mine = kept.get(int(row), init_client(keys.use(key_client, "init"), sent))
                like, kept[int(row)], seen_info = client(
                    key_client, sent, mine, placed, jnp.int32(row), jnp.int32(steps[row])
                )
                like = applied(upload, keys.use(key_client, "upload"), like)
                uploads.append(contribution(like, jnp.bool_(True)))
                each.append(individuals(like))
                info[int(row)] |= seen_info
            total = uploads[0]
            for addend in uploads[1:]:
                total = jax.tree.map(jnp.add, total, addend)
            count, each = jnp.float32(len(rows)), jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
            seen = (jnp.asarray(rows, jnp.int32), jnp.ones(len(rows), bool)) if each else ((), ())
            aggregate = Aggregate(finish(total, like, each), count, count, *seen)
            server, _ = server_step(keys.use(keys.at(key_pass, round), "server"), server, aggregate)
        infos.append(info)
    return server, kept, infos


def _with_shard(client, most: int):
    return lambda key, sent, mine, placed, row, steps: client(key, sent, mine, shard_of(placed, row, steps, most))
