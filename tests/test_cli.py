"""The command line: exit codes, one line for every mistake, folders that survive what ends a run."""

import json
import os
import signal
import subprocess
import sys
import time

import jax
import pytest

import pfljax
from pfljax.cli import main
from pfljax.run import progress
from pfljax.run.job import Started, Trained

assert jax.device_count() == 8  # JAX is up before the command line could ask for another number of devices

SMALL = [
    *("run", "wearable", "--rounds", "2", "--warmup-rounds", "3", "--cohort", "4", "--population.hidden", "4"),
    *("--warmup.steps", "2", "--adapt.most-steps", "4", "--local.most-steps", "2", "--algorithm.inner-steps", "1"),
]


def outcome(capsys, *words: str) -> tuple[int, str]:
    """(exit code, the one line on stderr)."""
    code = main(words)
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith("pfljax: ")
    assert "Traceback" not in err
    return code, err


def test_help_and_version(capsys):
    for words in ([], ["--help"], ["-h"]):
        assert main(words) == 0
        assert "pfljax run [NAME]" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"pfljax {pfljax.__version__}\n"
    assert main(["run", "--help"]) == 0
    assert "--algorithm.inner-lr" in capsys.readouterr().out


def test_list_fits_one_screen(capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100
    text = "\n".join(lines)
    for part in ("keyboard", "664 clients", "BSD-3-Clause", *pfljax.algorithms.__all__, "pfljax list algorithms"):
        assert part in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("rum", "command: expected one of run, plan, compile, data, list, got 'rum', did you mean 'run'?"),
        ("list all", "list: expected nothing or 'algorithms' behind it, got all"),
        ("run wearabel", "did you mean 'wearable'?"),
        ("run --algorithm.iner-lr 1", "did you mean '--algorithm.inner-lr'?"),
        ("run algorithm:mamla", "algorithm: expected one of"),
        ("run --rounds 0", "--rounds: expected a whole number of at least 1, got 0"),
        ("run --rounds two", "--rounds: expected a whole number, got 'two'"),
        ("run wearable --cohort 17", "cohort: expected between 1 and the 16 seen clients, got 17"),
        ("run wearable --algorithm.adapt haed/*", "pattern 'haed/*': expected it to match a parameter"),
    ],
)
def test_mistakes(words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, err = outcome(capsys, *words.split())
    assert code == 2
    assert said in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("data", "data: expected one of keyboard, plays, "),
        ("data --out a.png", "behind it, got --out"),
        ("data keybord", "got 'keybord', did you mean 'keyboard'?"),
        ("data keyboard --min-charcters 300", "got '--min-charcters', did you mean '--min-characters'?"),
        ("data keyboard --min-characters 3", "min_characters: expected a whole number of at least 100, got 3"),
        ("data keyboard --order entires", "order: expected one of entries, catalogue, got 'entires', did you mean"),
        ("data digits --seed 0.5", "seed: expected a whole number of at least 0, or None for no shuffling, got 0.5"),
        ("data digits --seed", "--seed: expected a value behind it, got nothing"),
        ("data digits --seed --out a.png", "--seed: expected a value behind it, got --out"),
        ("data digits --seed 1 --seed=2", "--seed: expected once, got it twice"),
        ("data digits seed 1", "data: expected options such as --out FILE.png, got 'seed'"),
        ("data digits --out a.jpg", "--out: expected a file that ends with .png, got 'a.jpg'"),
        ("data digits --out=no/a.png", "--out: expected a file in a folder that is there, got 'no/a.png'"),
    ],
)
def test_mistakes_in_looking(words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, err = outcome(capsys, *words.split())
    assert code == 2
    assert said in err
    assert list(tmp_path.iterdir()) == []


def test_looking_at_a_population(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pfljax.run.draw_population.draw", lambda population, names: repr(names).encode())
    assert main(["data", "wearable"]) == 0
    facts = str(pfljax.data.describe(pfljax.data.load("wearable")))
    assert capsys.readouterr().out == f"{facts}\n\nPicture: wearable.png\n"
    assert (tmp_path / "wearable.png").read_text() == repr(pfljax.data.exercises())
    assert main(["data", "keyboard", "--min-characters=9000", "--context", "2"]) == 0
    assert f"x{'uint8':>18}     [2] " in capsys.readouterr().out
    assert (tmp_path / "keyboard.png").read_text() == repr(pfljax.data.characters())
    (tmp_path / "digits.png").write_text("mine")
    code, err = outcome(capsys, "data", "digits")
    assert (code, (tmp_path / "digits.png").read_text()) == (2, "mine")
    assert "digits.png: expected no such file here, got one; name it by --out" in err
    assert main(["data", "digits", "--out", "digits.png"]) == 0
    assert (tmp_path / "digits.png").read_text() == "()"


def test_help_of_looking(capsys):
    assert main(["data", "--help"]) == 0
    assert "keyboard, plays, wearable" in capsys.readouterr().out
    assert main(["data", "wearable", "-h"]) == 0
    assert "y: [example] int32, the exercise" in capsys.readouterr().out


def test_used_and_impossible_folders(capsys, tmp_path):
    (tmp_path / "file").write_text("mine")
    for out, said in ((tmp_path, "which holds files"), (tmp_path / "file" / "below", "is a file")):
        code, err = outcome(capsys, *SMALL, "--out", str(out))
        assert code == 2
        assert said in err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


def test_divergence_keeps_what_was_recorded(capsys, tmp_path):
    code, err = outcome(capsys, *SMALL, "--algorithm.lr", "1e38", "--out", str(tmp_path / "out"))
    assert code == 2
    assert "per_fedavg: round 0: expected finite updates, got NaN or infinity" in err
    assert "'subject" in err
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["status"] == "diverged"
    assert "round 0" in manifest["message"]
    assert len((tmp_path / "out" / "rounds.jsonl").read_text().splitlines()) == 5
    assert (tmp_path / "out" / "figures" / "learning_curve.png").exists()
    assert not list((tmp_path / "out").rglob(".*.part"))


def interrupt_at(monkeypatch, event_type) -> None:
    def show(self, event):
        if isinstance(event, event_type):
            raise KeyboardInterrupt

    monkeypatch.setattr(progress.Plain, "show", show)


def test_interrupt_leaves_a_valid_folder(capsys, tmp_path, monkeypatch):
    interrupt_at(monkeypatch, Trained)
    code, err = outcome(capsys, *SMALL, "--out", str(tmp_path / "out"))
    assert code == 130
    num_rounds = len((tmp_path / "out" / "rounds.jsonl").read_text().splitlines())
    assert num_rounds >= 1
    assert err == f"pfljax: interrupted; {tmp_path / 'out'} has {num_rounds} rounds\n"
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["status"] == "interrupted"
    assert (tmp_path / "out" / "figures" / "learning_curve.png").exists()
    assert not (tmp_path / "out" / "summary.json").exists()


def test_interrupt_before_the_first_round(capsys, tmp_path, monkeypatch):
    interrupt_at(monkeypatch, Started)
    code, err = outcome(capsys, *SMALL, "--out", str(tmp_path / "out"))
    assert code == 130
    assert err.endswith("has 0 rounds\n")
    assert (tmp_path / "out" / "rounds.jsonl").read_text() == ""
    assert not (tmp_path / "out" / "figures").exists()


def test_interrupt_before_anything_is_written(capsys, tmp_path, monkeypatch):
    def refuse(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("pfljax.run.drive.job", refuse)
    code, err = outcome(capsys, *SMALL, "--out", str(tmp_path / "out"))
    assert (code, err) == (130, "pfljax: interrupted before anything was written\n")
    assert list(tmp_path.iterdir()) == []


def test_any_other_failure_is_written_down_and_shown(tmp_path, monkeypatch):
    def show(self, event):
        if isinstance(event, Trained):
            raise RuntimeError("a bug")

    monkeypatch.setattr(progress.Plain, "show", show)
    with pytest.raises(RuntimeError, match="a bug"):
        main([*SMALL, "--out", str(tmp_path / "out")])
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["status"], manifest["message"]) == ("failed", "RuntimeError: a bug")


def command(*words: str, **kwargs) -> subprocess.Popen:
    code = "import sys; from pfljax.cli import main; sys.exit(main())"
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs,
    )  # fmt: skip


@pytest.mark.slow
def test_importing_the_package_imports_nothing_of_this():
    code = "import sys, pfljax; print([name for name in ('tyro', 'matplotlib', 'pfljax.run') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.slow
def test_a_real_run(tmp_path):
    process = command(*SMALL, cwd=tmp_path)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, "")
    assert not set(out) & {"\x1b", "\r"}
    for part in ("FedAvg, warm start: 3/3", "MAML personalized  unseen", "On unseen clients", "of them compiling"):
        assert part in out
    (folder,) = (tmp_path / "runs").iterdir()
    assert f"Run folder: runs/{folder.name}" in out
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["status"] == "finished"
    assert manifest["devices"]["count"] == len(os.sched_getaffinity(0))


@pytest.mark.slow
def test_a_real_interrupt(tmp_path):
    process = command(*SMALL, "--warmup-rounds", "1000000", "--out", "out", cwd=tmp_path)
    records = tmp_path / "out" / "rounds.jsonl"
    until = time.monotonic() + 120
    while not (records.exists() and records.read_text()) and time.monotonic() < until:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert err.startswith(
        "\npfljax: stopping after this block; Ctrl-C again stops at once\npfljax: interrupted; out has "
    )
    assert err.endswith("go on with: pfljax run --resume out\n")
    assert err.count("\n") == 3
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["status"] == "interrupted"


@pytest.mark.slow
def test_compiled_programs_are_kept_in_the_users_cache(tmp_path):
    """A second process finds them there, and a folder that cannot be written to is said and does no harm."""
    cached = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "XLA_FLAGS": ""}
    cached.pop("JAX_COMPILATION_CACHE_DIR", None)
    code = "import sys; from pfljax.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "plan", "wearable", "--population.hidden", "4"]

    def seconds(environment) -> tuple[float, str]:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=True)
        lines = [line for line in done.stdout.splitlines() if line.strip().startswith("compiling")]
        return sum(float(line.split()[1]) for line in lines), done.stderr

    first, _ = seconds(cached)
    kept = sorted((tmp_path / "cache" / "pfljax" / "programs").glob("jit_run_block*"))
    assert len(kept) >= 2
    second, _ = seconds(cached)
    assert second < first
    (tmp_path / "file").write_text("")
    _, err = seconds({**cached, "XDG_CACHE_HOME": str(tmp_path / "file")})
    assert "pfljax: compiled programs are not kept: " in err
