"""The same federated work in pfljax and in other simulators, side by side.

    python benchmarks/peers.py --work mlp [--peers pfljax fedjax ...] [--repeats 5] [--out DIR]
    python benchmarks/peers.py --list

Every contestant reads the same initial parameters, rows and cohorts, and shows on a population of one batch a client
that it trains the same thing. Then all take turns on the same cores. The first use builds the peers' environments.
"""

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from peers.catalog import SETTINGS, make
from peers.lineup import LINEUP, default_names
from peers.race import Plan, race
from peers.table import markdown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", choices=SETTINGS, default="mlp")
    parser.add_argument("--peers", nargs="+", choices=LINEUP, metavar="NAME", help="default: all; see --list")
    parser.add_argument("--rounds", type=int, help="rounds a repeat (default: what takes each about --seconds)")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a repeat")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds that one answer may take")
    parser.add_argument("--tiny", action="store_true", help="cut to a size that only shows that it runs")
    parser.add_argument("--out", type=Path, help="where to write results.json, results.md, results.png and the logs")
    parser.add_argument("--list", action="store_true", help="show works and contestants")
    options = parser.parse_args()
    if options.list:
        for title, entries in (("works", SETTINGS), ("contestants", LINEUP)):
            print(f"{title}:\n" + "\n".join(f"  {name:13} {entry.about}" for name, entry in entries.items()))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that contestants are ended on the way out
    names = options.peers or default_names(options.work)
    out = options.out or Path(tempfile.mkdtemp(prefix=f"peers-{options.work}-"))
    out.mkdir(parents=True, exist_ok=True)
    work = make(options.work, is_tiny=options.tiny)
    plan = Plan(options.repeats, options.seconds, options.rounds, options.timeout)
    print(markdown(race(work, names, out, plan)))
    print(f"written to {out}")


if __name__ == "__main__":
    main()
