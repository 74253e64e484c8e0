"""A phase of a run's folder as a result again."""

import os

import pfljax
from pfljax.checkpoints.fingerprint import check_same
from pfljax.checkpoints.load import opened
from pfljax.engine import Result
from pfljax.errors import PflError, nearest
from pfljax.run.job import WARMUP, algorithms, how, phase_seeds
from pfljax.run.resume import CHECKPOINTS, fingerprint, left


def load_run(folder: str | os.PathLike[str], phase: str, best: str | None = None) -> Result:
    """What a phase of `pfljax run` had made when it was saved last, ready for `pfl.evaluate`.

    folder: the run's; phase: "warmup", "fedavg" or the algorithm's name; the configuration and the population are
    the run's own. best: the metric of `--checkpoint.best`: the best round's checkpoint instead of the last one

    Raises PflError for a folder that is no run's, for phases and checkpoints that are not there, and for a run of
    another version of pfljax.
    """
    before = left(os.fspath(folder))
    known = sorted(path.name for path in (before.path / CHECKPOINTS).glob("*") if path.is_dir())
    if phase not in known:
        raise PflError(f"phase: expected one of {', '.join(known) or 'none'}, got {phase!r}{nearest(phase, known)}")
    config = before.config
    population = config.population.load()
    fedavg, personal = algorithms(config, population)
    algorithm = personal if phase == config.algorithm.name else fedavg
    assert algorithm is not None  # else there is no such phase
    with opened(before.path / CHECKPOINTS / phase) as saved:
        mine = fingerprint(config, pfljax.__version__, population.checksum()) | {"phase": phase}
        check_same("folder", saved.fingerprint, mine, "use the version that made it, or train anew")
        seed = phase_seeds(config.seed)[phase != WARMUP]
        arguments = {"cohort": config.cohort, "unseen": config.unseen, "seed": seed, **how(config)}
        return saved.result(algorithm, population, arguments, best)
