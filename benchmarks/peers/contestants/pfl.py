"""pfl-research's two ways to use cores: one process with a thread a core, or a process a core, as under torchrun."""

import json
import os
import runpy
import socket
import subprocess
import sys

RANK = "peers.contestants.pfl_rank"


def spread(world: int) -> None:
    """Starts the ranks, passes every command on to all of them and rank 0's replies back."""
    with socket.socket() as found:
        found.bind(("localhost", 0))
        port = found.getsockname()[1]
    common = os.environ | {
        "TORCHELASTIC_RUN_ID": "peers", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port),
        "WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
    }  # fmt: skip
    ranks = [
        subprocess.Popen(
            [sys.executable, "-P", "-m", RANK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(world)
    ]  # fmt: skip
    for line in sys.stdin:
        for index, rank in enumerate(ranks):
            command = json.loads(line)
            if index and "params" in command:
                command["params"] = f"{command['params']}.rank{index}.npz"
            rank.stdin.write(json.dumps(command) + "\n")
            rank.stdin.flush()
        replies = [json.loads(rank.stdout.readline() or '{"error": "a rank ended", "peak_bytes": 0}') for rank in ranks]
        failed = next((reply for reply in replies if "error" in reply), replies[0])
        print(json.dumps(failed | {"peak_bytes": sum(r["peak_bytes"] for r in replies)}), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "processes":
        spread(len(os.sched_getaffinity(0)))
    else:
        runpy.run_module(RANK, run_name="__main__")
