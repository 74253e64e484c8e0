"""Checks and times pfljax on this machine's accelerator: GPU or TPU beside the same machine's CPU.

    python benchmarks/accelerator.py [--seconds 220] [--sections methods bits ...] [--out FILE.json] [--tiny]

Checks: the same rounds on the accelerator and on the host's CPU leave the same numbers, and what is promised to be the
same bits is. Products of float32 are full ones there ("highest"): by default accelerators round them, and `precision`
says what that changes. Differences are relative to the way that the numbers went from the start. Times: clients a
second by width and by cohort, beside the bare loop of gradients; state of a million clients; compilation; the memory
that was foreseen, and the device's own peak.

A section that fails is reported, and the rest goes on; the exit code is 1 then. No section starts, and none goes on,
after --seconds. --tiny: the same code in a minute or two on any machine, to see that it runs. JAX_PLATFORMS has to be
unset, or to name the CPU too ("cuda,cpu").
"""

import argparse
import json
import sys
import time
from functools import partial
from pathlib import Path

import jax
import numpy as np
from accelerator import checks, times
from accelerator.report import Machine, Section, guarded
from jax.sharding import Mesh

import pfljax as pfl
from pfljax.engine.devices import AXIS

OTHERS = tuple(name for name in pfl.algorithms.__all__ if name not in checks.FIRST)
SECTIONS: dict[str, Section] = {  # the most important first
    "methods": partial(checks.methods, names=checks.FIRST),
    "bits": checks.promises,
    "mlp": partial(times.work, name="mlp"),
    "lr": partial(times.work, name="lr"),
    "cohorts": times.cohorts,
    "precision": checks.precision,
    "charlm": partial(times.work, name="charlm"),
    "kept": times.kept,
    "auto": times.automatic,
    "cnn": partial(times.work, name="cnn"),
    "others": partial(checks.methods, names=OTHERS),
}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=220.0, help="nothing more is started after so many")
    parser.add_argument("--sections", nargs="+", choices=list(SECTIONS), default=list(SECTIONS))
    parser.add_argument("--out", type=Path, help="a JSON file")
    parser.add_argument("--tiny", action="store_true", help="small sizes, to see that it runs")
    options = parser.parse_args(arguments)
    one = lambda device: Mesh(np.asarray([device]), (AXIS,))
    machine = Machine(one(jax.devices()[0]), one(jax.devices("cpu")[-1]), options.tiny)
    device = jax.devices()[0]
    about = {"jax": jax.__version__, "pfljax": pfl.__version__, "platform": device.platform, "kind": device.device_kind}
    print(", ".join(f"{name} {value}" for name, value in about.items()), flush=True)
    begin, rows = time.perf_counter(), []
    for section, row in guarded({name: SECTIONS[name] for name in options.sections}, machine, options.seconds):
        mark, now = {True: "ok", False: "BAD", None: ""}[row.is_good], time.perf_counter() - begin
        print(f"{now:>5.0f} s  {section:<10}{mark:<4}{row.what:<48} {row.found}", flush=True)
        rows.append({"section": section, "seconds": now, **row._asdict()})
        if options.out:
            options.out.write_text(json.dumps(about | {"rows": rows}, indent=1) + "\n")
    bad = [row for row in rows if row["is_good"] is False]
    print(f"{sum(row['is_good'] is True for row in rows)} checks passed, {len(bad)} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
