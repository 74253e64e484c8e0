"""The contestant's end of the conversation: one JSON object a line in, one out. See `host` for the other end."""

import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from peers import work as works
from peers.work import Work


class Runner(NamedTuple):
    """A contestant ready to train one work.

    run:    (first round, count) -> (rounds done, seconds): trains at least `count` rounds of the schedule from
            `first`, waits for the result, and says how long it took; rounds follow one another without a gap
    params: () -> {name: array}, the server's model now
    loss:   () -> the mean loss of that model over all rows of the work's clients
    note:   what differs from the others, e.g. how batches are shuffled
    """

    run: Callable[[int, int], tuple[int, float]]
    params: Callable[[], dict[str, np.ndarray]]
    loss: Callable[[], float]
    note: str = ""


def serve(prepare: Callable[[Work, int], Runner], versions: Callable[[], dict[str, str]]) -> None:
    """Answers commands until stdin ends. prepare: (work, threads) -> Runner.

    check {work, params}: trains one round of a small work and writes the parameters after it
    load {work}: prepares, and trains the first round, which compiles
    run {count}: trains on
    """
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print goes to the log
    threads = len(os.sched_getaffinity(0))
    runner, done = None, 0
    for line in sys.stdin:
        command = json.loads(line)
        try:
            if command["do"] == "check":
                small = prepare(works.load(command["work"]), threads)
                loss = small.loss()
                small.run(0, 1)
                works.save_params(Path(command["params"]), small.params())
                reply = {"loss": loss}
            elif command["do"] == "load":
                begin = time.perf_counter()
                runner = prepare(works.load(command["work"]), threads)
                done, _ = runner.run(0, 1)
                reply = {"start_seconds": time.perf_counter() - begin, "note": runner.note, "versions": versions()}
            else:
                count, seconds = runner.run(done, command["count"])
                reply = {"first": done, "count": count, "seconds": seconds}
                done += count
        except Exception as error:
            traceback.print_exc()
            reply = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
            reply["is_able"] = not isinstance(error, NotImplementedError)
        reply["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps(reply), file=out, flush=True)
