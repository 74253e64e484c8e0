"""Processes that watch each other: one that dies or hangs ends the run on all, with a message that names it.

Every process beats in the key-value store of JAX's coordination service, which lives in process 0, and looks at the
beats of the others. JAX has a heartbeat too, but ends processes without a word about which one is missing.
"""

import ctypes
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, NoReturn

import jax

from pfljax import lifeline
from pfljax.beats import Beat, Seen, described, named, silent
from pfljax.errors import PflError
from pfljax.lastwords import note_exits, on_abort, say

LOST = 3  # exit code of a process that ends because another is missing
BEATS, FAULT, HINT = "pfljax/watch/beat/", "pfljax/watch/fault", "pfljax/watch/hint"
PREFIX = "pfljax/watch/"
MOST_SECONDS = 1.0  # between two beats
FEW_BEATS = 3  # that may be missed once a collective has failed
GRACE_SECONDS = 1.0  # for a process to say itself what another has said already


def cluster() -> Any:
    """What this process has joined: has client, coordinator_address, num_processes, process_id; None if it is alone.

    There is no public way to the coordination service. Of its client, jax 0.10 and 0.12 alike have what is used here:
    key_value_set, key_value_dir_get, key_value_increment and blocking_key_value_get.
    """
    from jax._src import distributed

    state = distributed.global_state
    return state if state.client is not None and state.num_processes > 1 else None


def whose_fault(error: BaseException) -> str | None:
    """The sentence about the process because of which `error` came here; None if no other is to blame.

    A collective raises at once when a process it waits for has died, but does not say which. This waits for a few beats
    to find out, and tells the others.
    """
    joined = cluster()
    if joined is None or isinstance(error, PflError | KeyboardInterrupt):
        return None
    try:
        before = _beats(joined.client)
        seconds = (FEW_BEATS + 0.5) * max((beat.every for beat in before.values()), default=MOST_SECONDS)
        time.sleep(seconds)
        (_, found), after = _fault(dict(joined.client.key_value_dir_get(PREFIX))), _beats(joined.client)
    except RuntimeError as gone:  # what the store raises
        return f"process 0 of {joined.num_processes} ({joined.coordinator_address}) does not answer: {_line(gone)}"
    if found:
        return found
    still = tuple(each for each in sorted(after) if each != joined.process_id and after[each] == before.get(each))
    if not still:
        return None
    seen = {process: Seen(beat, 0.0) for process, beat in after.items()}
    text = described(still, seen, joined.num_processes, seconds)
    _publish(joined.client, joined.process_id, text)
    return text


def hint(text: str) -> None:
    """What to do if a process is lost, e.g. "pfljax run --resume runs/a". The last word of process 0 counts."""
    joined = cluster()
    if joined is not None and joined.process_id == 0:
        joined.client.key_value_set(HINT, text, allow_overwrite=True)


def give_up(reason: str, code: int) -> int:
    """Ends this process with `code`, and the others, who are told its reason. With one process, returns `code`."""
    joined = cluster()
    if joined is None:
        return code
    me = f"process {joined.process_id} of {joined.num_processes} ({socket.gethostname()}, pid {os.getpid()})"
    _publish(joined.client, joined.process_id, f"{me} ended: {reason}")
    _exit(joined.process_id, code)


class Watch:
    """Two threads: one talks to the store, which may hang; one judges by the clock what was heard.

    The clock stands still while this process is stopped, so that it does not take the others for silent.
    """

    def __init__(self, joined: Any, heartbeat: float):
        self.client, self.address = joined.client, joined.coordinator_address
        self.process, self.num_processes = joined.process_id, joined.num_processes
        self.heartbeat, self.every = heartbeat, min(MOST_SECONDS, heartbeat / 10)
        self.clock = self.answered = 0.0
        self.seen = {each: Seen(None, 0.0) for each in range(self.num_processes) if each != self.process}
        self.fault, self.hint, self.has_spoken = "", "", False
        self.moved, self.has_left = 0, False
        self.over = threading.Event()
        self.threads: list[threading.Thread] = []
        self.line: socket.socket | None = None
        self.beating, self.ending = threading.Lock(), threading.Lock()
        self.on_abort = ctypes.CFUNCTYPE(None, ctypes.c_int)(self._aborted)

    def start(self) -> None:
        """Begins to beat, and to judge. Call it in the main thread."""
        self.ended_by = note_exits()
        self.beat()
        for target in (self._talk, self._judge):
            self.threads.append(threading.Thread(target=target, name=f"pfljax{target.__name__}", daemon=True))
            self.threads[-1].start()
        if self.process:
            on_abort(self.on_abort)
            self.line = lifeline.tie(self.client, self.address, self.process)
        else:
            lifeline.hold(self.client, self.died)

    def beat(self) -> None:
        """Says that this process is there, or that it has left, and hears the others."""
        with self.beating:
            self.moved += 1
            own = Beat(self.moved, socket.gethostname(), os.getpid(), self.every, self.has_left)
            self.client.key_value_set(f"{BEATS}{self.process}", json.dumps(own), allow_overwrite=True)
            heard = dict(self.client.key_value_dir_get(PREFIX))
        self.hear(heard)

    def hear(self, heard: Mapping[str, str]) -> None:
        """Takes in all that is in the store."""
        for process, before in self.seen.items():
            text = heard.get(f"{BEATS}{process}")
            beat = Beat(*json.loads(text)) if text else None
            if beat != before.beat:
                self.seen[process] = Seen(beat, self.clock)
        finder, text = _fault(heard)
        self.fault = self.fault if finder in (-1, self.process) else text
        self.has_spoken = finder == self.process
        self.hint = heard.get(HINT, "")
        self.answered = self.clock

    def tick(self, elapsed: float) -> str:
        """Moves the clock and returns what has to be said, if anything."""
        self.clock += min(elapsed, 2 * self.every)
        if self.fault or self.over.is_set():
            return self.fault
        missing = silent(self.seen, self.answered, self.clock, self.heartbeat)
        if not missing or (self.has_left and all(self._left(each) for each in missing)):
            return ""
        return described(missing, self.seen, self.num_processes, self.heartbeat)

    def died(self, process: int) -> None:
        """Called where the line to a process broke."""
        try:
            self.beat()  # it may have said why
        except RuntimeError:
            return  # this process is at its end
        if not (self.fault or self.has_spoken or self.over.is_set() or self._left(process)):
            self.fault = f"{named((process,), self.seen, self.num_processes)} died"

    def leave(self) -> None:
        """The end of the program: waits for the others if it ended well, or tells them that it did not."""
        error, code = self.ended_by()
        self.has_left = not code or isinstance(error, SystemExit)
        if error is not None and code:
            text = whose_fault(error)  # takes a few beats: whoever exits too has come to its end meanwhile
            if text:
                self._end(text)
            if not (self.has_left and all(each.has_left for each in self.seen.values())):
                give_up(f"{type(error).__name__}: {_line(error)}", code)
        self.beat()
        if self.line is not None:
            lifeline.untie(self.line)
        jax.distributed.shutdown()
        self.over.set()
        for thread in self.threads:
            thread.join()  # Python must not end while one of them is inside JAX: that would abort the process
        if self.process:
            on_abort(None)

    def _left(self, process: int) -> bool:
        return process in self.seen and self.seen[process].has_left

    def _talk(self) -> None:
        while True:
            if self.over.wait(self.every):
                return
            try:
                self.beat()
            except RuntimeError:
                # No answer is judged by the clock, like a late one; and after `leave` there is no store any more.
                if self.has_left:
                    return

    def _judge(self) -> None:
        before = time.monotonic()
        while True:
            if self.over.wait(self.every / 2):
                return
            now = time.monotonic()
            text = self.tick(now - before)
            before = now
            if text:
                if self.fault:
                    time.sleep(GRACE_SECONDS)
                self._end(text)

    def _end(self, text: str) -> NoReturn:
        self.ending.acquire()  # for good: both threads may come here
        say(text, self.hint)
        if self.clock - self.answered < self.heartbeat:  # else a call to the store may hang
            _publish(self.client, self.process, text)
            _exit(self.process, LOST)
        os._exit(LOST)

    def _aborted(self, number: int) -> None:
        """JAX aborts within milliseconds when the connection to process 0 breaks: says so first."""
        port = int(self.address.rpartition(":")[2])
        try:
            socket.create_connection((lifeline.host_of(self.address), port), timeout=1.0).close()
        except OSError as error:
            why = f"{self.address}: {error.strerror or error}"
            say(f"{named((0,), self.seen, self.num_processes)} is gone ({why})", self.hint)
            os._exit(LOST)
        on_abort(None)  # something else is wrong: let it end as it would have


def _exit(process: int, code: int) -> NoReturn:
    """Ends this process; process 0 lets the others read first why, for the store goes with it."""
    sys.stdout.flush()
    sys.stderr.flush()
    if process == 0:
        time.sleep(2 * MOST_SECONDS + GRACE_SECONDS)
    os._exit(code)


def _publish(client: Any, finder: int, text: str) -> None:
    """The first word stays. Whoever found it deals with it in a way of its own; the others end."""
    try:
        client.key_value_set(FAULT, json.dumps([finder, text]))
    except RuntimeError:
        return  # another was first, or the store is gone; either way the others know


def _beats(client: Any) -> dict[int, Beat]:
    return {int(key.removeprefix(BEATS)): Beat(*json.loads(text)) for key, text in client.key_value_dir_get(BEATS)}


def _fault(heard: Mapping[str, str]) -> tuple[int, str]:
    """(process that found it, what is wrong); (-1, "") if nothing is."""
    finder, text = json.loads(heard.get(FAULT, '[-1, ""]'))
    return finder, text


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0]
