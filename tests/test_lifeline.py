"""Lines between threads of this process: who died is who closed without a word."""

import queue
import socket

import pytest

from pfljax import lifeline


class Store:
    """As much of a coordination service as lines need."""

    def __init__(self):
        self.texts: dict[str, str] = {}

    def key_value_set(self, key: str, text: str) -> None:
        self.texts[key] = text

    def blocking_key_value_get(self, key: str, timeout_in_ms: int) -> str:
        return self.texts[key]


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def dead(store):
    """The processes whose lines broke, as they do."""
    found = queue.Queue()
    lifeline.hold(store, found.put)
    return found


def tied(store: Store, process: int) -> socket.socket:
    line = lifeline.tie(store, "localhost:1", process)
    assert line is not None
    return line


def test_a_line_that_breaks(store, dead):
    lines = [tied(store, process) for process in (1, 2, 3)]
    lines[1].close()
    assert dead.get(timeout=5) == 2
    lines[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, not an end
    lines[0].close()
    assert dead.get(timeout=5) == 1
    lines[2].close()
    assert dead.get(timeout=5) == 3


def test_whoever_leaves_in_good_order_is_not_dead(store, dead):
    first, second = tied(store, 1), tied(store, 2)
    lifeline.untie(first)
    first.close()
    second.close()
    assert dead.get(timeout=5) == 2
    with pytest.raises(queue.Empty):
        dead.get(timeout=0.2)


def test_half_a_word_is_no_good_end(store, dead):
    line = tied(store, 4)
    line.sendall(lifeline.LEFT[:2])
    line.close()
    assert dead.get(timeout=5) == 4


def test_strangers_are_not_heard(store, dead):
    port = int(store.texts[lifeline.PLACE].split()[0])
    for words in (b"", b"hello\n", b"0123 1\n", "\u00e9 1\n".encode(), b"x" * 1000):
        with socket.create_connection(("localhost", port)) as stranger:
            stranger.sendall(words)
    tied(store, 7).close()
    assert dead.get(timeout=5) == 7
    assert dead.empty()


def test_no_way_through(store):
    """Nobody listens there any more: the heartbeat is left."""
    with socket.create_server(("localhost", 0)) as closed:
        port = closed.getsockname()[1]
    store.key_value_set(lifeline.PLACE, f"{port} token")
    assert lifeline.tie(store, "localhost:1", 1) is None
