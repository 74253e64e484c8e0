"""Connections that break at once when a process dies, whatever the others are waiting for.

Collectives notice a death on some devices and wait for ever on others, and a heartbeat has to be patient. Every process
holds a TCP connection to process 0. Where a network does not let it through, the heartbeat is left.
"""

import secrets
import socket
import threading
from collections.abc import Callable
from typing import IO, Any

PLACE = "pfljax/lifeline"  # in the store: port and token
LEFT = b"left\n"
PLACE_SECONDS = 300.0  # for process 0 to say where it listens: as long as joining may take
CONNECT_SECONDS = 5.0


def hold(client: Any, died: Callable[[int], None]) -> None:
    """In process 0: takes the others' lines, and calls `died` with the number of a process whose line breaks."""
    listener, token = socket.create_server(("", 0)), secrets.token_hex(16)
    client.key_value_set(PLACE, f"{listener.getsockname()[1]} {token}")
    threading.Thread(target=_accept, args=(listener, token, died), name="pfljax_lifeline", daemon=True).start()


def tie(client: Any, address: str, process: int) -> socket.socket | None:
    """In another process: its line to process 0, which JAX has at `address`; None if there is no way through."""
    port, token = client.blocking_key_value_get(PLACE, int(1000 * PLACE_SECONDS)).split()
    try:
        line = socket.create_connection((host_of(address), int(port)), timeout=CONNECT_SECONDS)
        line.sendall(f"{token} {process}\n".encode())
    except OSError:
        return None
    return line


def untie(line: socket.socket) -> None:
    """Before this process ends well."""
    try:
        line.sendall(LEFT)
    except OSError:
        return  # process 0 is gone: nobody is left to tell


def host_of(address: str) -> str:
    """
    >>> host_of("10.0.0.1:8476"), host_of("[::1]:8476")
    ('10.0.0.1', '::1')
    """
    return address.rpartition(":")[0].strip("[]")


def _accept(listener: socket.socket, token: str, died: Callable[[int], None]) -> None:
    while True:
        line, _ = listener.accept()
        threading.Thread(target=_listen, args=(line, token, died), name="pfljax_line", daemon=True).start()


def _listen(line: socket.socket, token: str, died: Callable[[int], None]) -> None:
    with line, line.makefile("rb") as words:
        given, _, process = _word(words).decode(errors="replace").partition(" ")
        if not secrets.compare_digest(given.encode(), token.encode()):
            return
        last = _word(words)  # comes before it leaves; nothing comes if it dies
    if last != LEFT:
        died(int(process))


def _word(words: IO[bytes]) -> bytes:
    """The next line of a connection; nothing if it was closed, or broke."""
    try:
        return words.readline(100)
    except OSError:
        return b""
