"""The command line: `pfljax run`, `pfljax plan`, `pfljax compile`, `pfljax data`, `pfljax list`."""

import os
import sys
import textwrap
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import jax

import pfljax
from pfljax import cache, processes, watch
from pfljax.errors import PflError, nearest

if TYPE_CHECKING:
    from pfljax.run.drive import Report

USAGE = """\
pfljax: personalized federated learning, simulated at the speed of its gradients.

  pfljax run [NAME] [algorithm:NAME] [options]                compare personalized with shared, local and control models
  pfljax run --resume DIR                                     go on with a run that was stopped, bit for bit
  pfljax plan [the words of a run]                            what it will take: bytes, steps, time to compile
  pfljax compile [the words of a run] --target v5e:16x16      the same for a machine that is not here: TPU slices, GPUs
                 [--largest]                                  or the largest cohort that fits there
  pfljax data NAME [--out FILE.png] [options]                 what a population is like, in words and as a picture
  pfljax list                                                 populations and algorithms
  pfljax list algorithms                                      what each method sends, keeps and shows to the server
  pfljax run --help                                           the options of a run
  pfljax --version

Examples:
  pfljax run                                       real keyboard data that ships with the package, about a minute
  pfljax run insurance --seed 1                    another of the populations that `pfljax list` names
  pfljax run keyboard algorithm:ditto --algorithm.lam 0.5 --out runs/ditto
  pfljax plan keyboard --cohort 500
  pfljax compile keyboard --cohort 500 --target h100:8
  pfljax data keyboard --min-characters 1000       664 clients become fewer; draws keyboard.png
"""
COMMANDS = ("run", "plan", "compile", "data", "list")
MISTAKE, INTERRUPTED = 2, 130  # exit codes
KEPT_SECONDS = 0.5  # a program that compiles faster is not worth a file
SCREEN = 100  # columns of `pfljax list`


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0, 2 for what cannot run or diverged, 130 for what Ctrl-C cut off.

    A run that was asked to stop (SIGTERM, Ctrl-C) and has been saved ends with 0.
    """
    begin = time.perf_counter()
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        with _plain_warnings():
            return _command(words, begin)
    except PflError as error:
        return watch.give_up(str(error), _complain(str(error)))
    except KeyboardInterrupt:
        print("pfljax: interrupted", file=sys.stderr)
        return watch.give_up("interrupted", INTERRUPTED)
    except SystemExit as stop:  # --help of a command
        return stop.code if isinstance(stop.code, int) else 0


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Remarks as lines of the command's own, without a place in the code."""
    with warnings.catch_warnings():
        shown = warnings.showwarning

        def show(message, category, *place, **named):
            if category is not UserWarning:  # a library's, about code
                return shown(message, category, *place, **named)
            print("pfljax: " + " ".join(str(message).split()), file=sys.stderr, flush=True)

        warnings.showwarning = show
        yield


def _command(words: list[str], begin: float) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0
    if words[0] in ("-V", "--version"):
        print(f"pfljax {pfljax.__version__}")
        return 0
    command, *rest = words
    if command == "list":
        return _list(rest)
    if command == "run":
        return _run(rest, begin)
    if command == "plan":
        return _plan(rest)
    if command == "compile":
        return _compile(rest)
    if command == "data":
        return _data(rest)
    raise PflError(f"command: expected one of {', '.join(COMMANDS)}, got {command!r}{nearest(command, COMMANDS)}")


def _run(words: list[str], begin: float) -> int:
    from rich.console import Console

    from pfljax.run.drive import drive
    from pfljax.run.options import parse, parse_again, resumed
    from pfljax.run.progress import display
    from pfljax.run.report import table
    from pfljax.run.resume import check_same_run, left

    folder, words = resumed(words)
    before = None if folder is None else left(folder)
    config = parse(words) if before is None else parse_again(words, before.config)
    if before is not None:
        check_same_run(before, config)
        if before.is_finished:
            print(f"{before.path} is finished: there is nothing to go on with")
            return 0
    _use_cores()
    if config.engine.processes == "cluster":
        pfljax.use_processes()
    _keep_programs()
    console = Console()
    report = drive(config, display(console), begin, before)
    if not processes.is_first():
        return 0 if report.is_saved or report.status == "finished" else MISTAKE
    if report.status == "interrupted":
        return _interrupted(report)
    if report.status == "diverged":
        return _complain(f"{report.message}; {report.num_rounds} rounds are in {report.path}")
    assert report.evaluation is not None
    if console.is_terminal:
        console.print(table(report.evaluation))
    else:
        print(report.evaluation.summary())
    print(f"\n{report.verdict}")
    for line in report.best:
        print(line)
    print(f"Run folder: {report.path}")
    print(f"{report.wall_seconds:.1f} s in total, {report.compile_seconds:.1f} s of them compiling")
    return 0


def _plan(words: list[str]) -> int:
    from pfljax.run.estimate import estimates
    from pfljax.run.options import parse

    config = parse(words, command="plan")
    _use_cores()
    _keep_programs()
    for each in estimates(config):
        print(each)
    return 0


def _compile(words: list[str]) -> int:
    from pfljax.run.ahead import ahead, wanted
    from pfljax.run.largest import largest

    config, target, is_largest = wanted(words)
    jax.config.update("jax_platforms", "cpu")  # the target is described; no device of this machine is asked
    for each in largest(config, target) if is_largest else ahead(config, target):
        print(each, flush=True)
    return 0


def _data(words: list[str]) -> int:
    from pfljax.run.look import look, parse, usage

    if {"-h", "--help"} & set(words):
        print(usage(words), end="")
        return 0
    wanted = parse(words)
    print(look(wanted))
    print(f"\nPicture: {wanted.path}")
    return 0


def _keep_programs() -> None:
    """Compiled programs outlive the process, in the user's cache folder, unless the user has named another."""
    if jax.config.values.get("jax_compilation_cache_dir") is not None:
        return
    folder = cache.folder() / "programs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".written").touch()
    except OSError as error:
        print(f"pfljax: compiled programs are not kept: {error}", file=sys.stderr)
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", KEPT_SECONDS)


def _use_cores() -> None:
    """One device per core, or as many as JAX_NUM_CPU_DEVICES says, for processes that share a machine.

    Where JAX is already up (main was called from a program), the devices that it has.
    """
    asked = os.environ.get("JAX_NUM_CPU_DEVICES", "")
    try:
        pfljax.use_cores(int(asked) if asked.isdecimal() else None)
    except PflError:
        if jax.device_count() < 2:
            raise


def _interrupted(report: "Report") -> int:
    """Says how to go on."""
    from pfljax.run.resume import how_to_resume

    if report.path is None:
        print("pfljax: interrupted before anything was written", file=sys.stderr)
        return INTERRUPTED
    said = f"pfljax: interrupted; {report.path} has {report.num_rounds} rounds"
    print(f"{said}; go on with: {how_to_resume(report.path)}" if report.can_resume else said, file=sys.stderr)
    return 0 if report.is_saved else INTERRUPTED


def _complain(message: str) -> int:
    print("pfljax: " + " ".join(message.split()), file=sys.stderr)
    return MISTAKE


def _list(words: list[str]) -> int:
    if words not in ([], ["algorithms"]):
        raise PflError(f"list: expected nothing or 'algorithms' behind it, got {' '.join(words)}; leave it out")
    return _list_algorithms() if words else _list_all()


def _list_all() -> int:
    from pfljax import algorithms, data
    from pfljax.run.presets import PRESETS

    print("populations (pfljax.data.load)")
    for name in PRESETS:
        population = data.load(name)
        about = population.about
        print(f"  {name:<10} {population.num_clients:>5} clients {population.num_rows:>10,} examples  {about.task}")
        print(f"  {'':<10} {about.licence}; {about.source}")
    print("\nalgorithms (pfljax.algorithms); pfljax list algorithms says more")
    print(textwrap.fill(", ".join(algorithms.__all__), SCREEN, initial_indent="  ", subsequent_indent="  "))
    return 0


def _list_algorithms() -> int:
    """Bytes are those of the keyboard's language model."""
    from rich.console import Console
    from rich.table import Table

    from pfljax import data, models
    from pfljax.run.catalog import catalog

    population = data.load("keyboard")
    table = Table(box=None, title="What a client moves in a round, and what is kept for it, on keyboard's char_lm")
    for title in ("algorithm", "down", "up", "kept", "server sees", "unseen client", "paper"):
        table.add_column(title, justify="right" if title in ("down", "up", "kept") else "left")
    for entry in catalog(models.char_lm(population), population):
        table.add_row(entry.name, *entry.facts, entry.why or entry.paper)
    Console(width=None if sys.stdout.isatty() else 2 * SCREEN).print(table)
    return 0
