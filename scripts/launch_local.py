"""Starts a program as several processes of one machine, for laptops and CI: JAX on CPUs, collectives over loopback.

python scripts/launch_local.py -n 4 -- pfljax run keyboard --engine.processes cluster
python scripts/launch_local.py -n 2 --devices 2 -- python my_script.py      # calls pfl.use_processes()

Process 0 writes as it would alone; lines of the others begin with `[1] `, `[2] `, ... Ctrl-C and SIGTERM go on to
all. If one fails, the others have --patience seconds to end; the exit code is that of the first that failed.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

LOOP = 0.05  # seconds between two looks at the processes
LAST_WORDS = 10.0  # seconds between SIGTERM and SIGKILL


def environment(process: int, num_processes: int, port: int, num_devices: int) -> dict[str, str]:
    """What `pfl.use_processes` and JAX read in process `process`."""
    return {
        "JAX_PLATFORMS": os.environ.get("JAX_PLATFORMS", "cpu"),
        "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
        "JAX_COORDINATOR_BIND_ADDRESS": f"127.0.0.1:{port}",
        "JAX_NUM_PROCESSES": str(num_processes),
        "JAX_PROCESS_ID": str(process),
        "JAX_NUM_CPU_DEVICES": str(num_devices),
        "PYTHONUNBUFFERED": "1",
    }


def free_port() -> int:
    """A port of loopback that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cores(process: int, num_processes: int) -> set[int]:
    """The cores that a process gets for itself; without, all threads of all processes take turns on all of them."""
    every = sorted(os.sched_getaffinity(0))
    share = max(1, len(every) // num_processes)
    begin = process * share % len(every)
    return set(every[begin : begin + share])


@contextmanager
def on_cores(chosen: set[int]) -> Iterator[None]:
    """Programs that are started meanwhile run on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, chosen)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", "--processes", type=_count, required=True, metavar="N")
    parser.add_argument("--devices", type=_count, help="CPU devices of each process (default: its share of the cores)")
    parser.add_argument("--patience", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("command", nargs="+", help="the program and its words, after --")
    options = parser.parse_args(words)
    num_devices = options.devices or len(cores(0, options.processes))
    port = free_port()
    processes, readers = [], []

    def forward(number, frame):
        for each in processes:
            _tell(each, number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, forward)
    for index in range(options.processes):
        # In a session of its own: a terminal would send Ctrl-C to all by itself, and then each would get two.
        # Process 0 keeps the terminal if there is one, where it draws progress. What goes into a pipe or a file goes
        # through here: pieces of lines of several processes would mix.
        has_terminal = [index == 0 and os.isatty(each.fileno()) for each in (sys.stdout, sys.stderr)]
        out, err = (None if is_there else subprocess.PIPE for is_there in has_terminal)
        added = environment(index, options.processes, port, num_devices)
        try:
            with on_cores(cores(index, options.processes)):
                each = subprocess.Popen(
                    options.command, env=os.environ | added, start_new_session=True, stdout=out, stderr=err
                )
        except OSError as error:
            parser.error(f"command: expected a program that can be started, got {options.command[0]}: {error}")
        processes.append(each)
        for source, target in ((each.stdout, sys.stdout), (each.stderr, sys.stderr)):
            if source is not None:
                readers.append(threading.Thread(target=_copy, args=(_prefix(index), source, target.buffer)))
                readers[-1].start()
    code = _wait(processes, options.patience)
    for reader in readers:
        reader.join()
    return code


def _wait(processes: list[subprocess.Popen], patience: float) -> int:
    """Until all have ended: the exit code of the first that failed, 128 + its number if a signal ended it."""
    first, failed_at, is_told = 0, 0.0, False
    while None in [each.poll() for each in processes]:
        if first == 0:
            first = next((each.returncode for each in processes if each.returncode), 0)
            failed_at = time.monotonic()
        elif time.monotonic() - failed_at > patience + LAST_WORDS:
            _end(processes, signal.SIGKILL)
        elif time.monotonic() - failed_at > patience and not is_told:
            _end(processes, signal.SIGTERM)
            is_told = True
        time.sleep(LOOP)
    first = first or next((each.returncode for each in processes if each.returncode), 0)
    return 128 - first if first < 0 else first


def _end(processes: list[subprocess.Popen], number: int) -> None:
    for index, each in enumerate(processes):
        if each.poll() is None:
            name = signal.Signals(number).name
            print(
                f"launch_local: process {index} goes on after another has failed; {name}", file=sys.stderr, flush=True
            )
            _tell(each, number)


def _tell(process: subprocess.Popen, number: int) -> None:
    """Sends a signal to a process if it is there."""
    if process.poll() is None:
        process.send_signal(number)


def _copy(prefix: bytes, source: IO[bytes], target: IO[bytes]) -> None:
    for line in source:
        target.write(prefix + line.rstrip(b"\n") + b"\n")
        target.flush()


def _prefix(index: int) -> bytes:
    return f"[{index}] ".encode() if index else b""


def _count(word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {word}")
    return int(word)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
