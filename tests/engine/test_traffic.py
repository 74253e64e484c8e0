"""What a method moves is read off its functions: known sizes for known methods."""

import jax
import jax.numpy as jnp
import pytest

from pfljax.engine.traffic import Traffic, traffic
from pfljax.types import At, Each, Sum
from tests.support.zoo import ALGORITHMS, people, tiny_model

POPULATION = people()
MODEL = tiny_model(POPULATION)
BODY, HEAD = 4 * (3 * 5 + 5), 4 * (5 * 4 + 4)  # bytes of tiny_model's layers
ALL, NUMBER = BODY + HEAD, 4


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fedavg", Traffic(ALL, ALL + NUMBER, 0, "sums", False, 1)),
        ("local_only", Traffic(0, 0, ALL, "nothing", False, 1)),
        ("ditto", Traffic(ALL + NUMBER, ALL + NUMBER, ALL, "sums", False, 1)),  # lam
        ("scaffold", Traffic(2 * ALL + NUMBER, 2 * ALL + NUMBER, ALL, "sums", False, 1)),  # c; the rate
        ("feddyn", Traffic(ALL + NUMBER, ALL + NUMBER, ALL, "sums", False, 1)),  # h stays on the server
        ("fedper", Traffic(BODY, BODY + NUMBER, HEAD, "sums", False, 1)),
        ("lg_fedavg", Traffic(HEAD, HEAD + NUMBER, BODY, "sums", False, 1)),
        ("fedrep", Traffic(BODY, BODY + NUMBER, HEAD, "sums", False, 1)),
        ("fedrecon", Traffic(ALL, BODY + NUMBER, 0, "sums", False, 1)),  # the personal part begins as the server's
        ("ifca", Traffic(3 * ALL, ALL + NUMBER + NUMBER + NUMBER, 0, "sums per slot", False, 1)),  # which; weight; one
        ("mime", Traffic(ALL + 3 * ALL, 2 * (ALL + NUMBER), 0, "sums", False, 2)),  # momentum and the mean gradient
        ("pfedhn", Traffic(ALL, ALL + NUMBER, 0, "individuals", True, 1)),  # the hypernetwork stays on the server
        ("fedproto", Traffic(NUMBER * (4 * 5 + 4 + 1), NUMBER * (4 * 5 + 4), ALL, "sums", False, 1)),
    ],
)
def test_known_sizes(name, expected):
    assert traffic(ALGORITHMS[name](MODEL), POPULATION) == expected


def test_what_is_read_is_what_an_upload_depends_on():
    """A value that is looked at for nothing is not downloaded; one that only state depends on is."""
    fedavg = ALGORITHMS["fedavg"](MODEL)
    ((train, server),) = fedavg.passes

    def client(key, sent, mine, shard):
        upload, _, info = train(key, sent, (), shard)
        _ = sent.hyper["a"] * 2
        return (upload, Sum(sent.hyper["b"])), mine + sent.hyper["c"], info

    mine = lambda key, sent: jnp.zeros(())
    read = fedavg._replace(hyper={"a": 1.0, "b": 2.0, "c": 3.0}, init_client=mine, passes=((client, server),))
    found = traffic(read, POPULATION)
    assert (found.download, found.upload, found.kept) == (ALL + 2 * NUMBER, ALL + 2 * NUMBER, NUMBER)


def test_what_is_looked_at_is_not_sent():
    """`finite_if` costs no upload, and no download of what it alone depends on; within slots too."""
    fedavg = ALGORITHMS["fedavg"](MODEL)
    ((_, server),) = fedavg.passes

    def client(key, sent, mine, shard):
        count = Sum(jnp.float32(1), finite_if=sent.vars)
        return (count, At(jnp.ones(2), count)), mine, {}

    found = traffic(fedavg._replace(passes=((client, server),)), POPULATION)
    assert (found.download, found.upload) == (0, NUMBER + NUMBER + NUMBER)  # one; which slot, one


def test_one_individual_upload_among_sums_is_seen():
    fedavg = ALGORITHMS["fedavg"](MODEL)
    ((train, server),) = fedavg.passes

    def client(key, sent, mine, shard):
        upload, mine, info = train(key, sent, mine, shard)
        return {"sum": upload, "own": Each(info["loss"])}, mine, info

    assert traffic(fedavg._replace(passes=((client, server),)), POPULATION).sees == "individuals"
    assert jax.device_count() == 8  # nothing above has started anything else
