"""Words become a configuration, or one line."""

import pytest

from pfljax import PflError
from pfljax.run.config import options
from pfljax.run.methods import DittoConfig, FinetuneConfig, PerFedAvgConfig
from pfljax.run.options import parse
from pfljax.run.populations import KeyboardConfig
from pfljax.run.presets import PRESETS


def test_nothing_is_the_default_preset():
    assert parse([]) == PRESETS["keyboard"].run


def test_default_algorithm_without_its_name():
    config = parse(["keyboard", "--algorithm.inner-lr", "0.2", "--rounds", "3"])
    assert config.algorithm == PerFedAvgConfig(inner_lr=0.2)
    assert config.rounds == 3


@pytest.mark.parametrize(
    "words",
    [
        "keyboard algorithm:ditto --algorithm.lam 0.5 --rounds 3",
        "keyboard --rounds 3 algorithm:ditto --algorithm.lam 0.5",
        "keyboard --rounds=3 --algorithm.lam=0.5 algorithm:ditto",
        "algorithm:ditto --rounds 3 --algorithm.lam 0.5",
        "--rounds 3 --algorithm.lam 0.5 algorithm:ditto",
    ],
)
def test_options_stand_anywhere(words):
    config = parse(words.split())
    assert (config.rounds, config.algorithm) == (3, DittoConfig(lam=0.5))
    assert isinstance(config.population, KeyboardConfig)


@pytest.mark.parametrize("word", ["algorithm:fedavg_finetune", "algorithm:fedavg-finetune"])
def test_either_spelling(word):
    assert parse(["wearable", word, "--warmup_rounds", "2"]).algorithm == FinetuneConfig()


def test_values_of_a_preset_stay():
    config = parse(["wearable", "algorithm:ditto", "--algorithm.lam", "0"])
    assert config == PRESETS["wearable"].config("ditto").__class__(
        **{**vars(PRESETS["wearable"].config("ditto")), "algorithm": DittoConfig(lr=0.3, lam=0.0, batch=32)}
    )


def test_none_and_text():
    config = parse(["--algorithm.adapt", "head/*", "--out", "some/where"])
    assert (config.algorithm, config.out) == (PerFedAvgConfig(adapt="head/*"), "some/where")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "keybord",
            "preset: expected one of keyboard, wearable, insurance, purchases, digits, plays, lending, got 'keybord'",
        ),
        ("algorithm:dito", "algorithm: expected one of per_fedavg, ditto, fedavg_finetune, got 'dito', did you mean"),
        ("algorithm:fedrep", "got 'fedrep'; in a script it is pfl.simulate(pfl.algorithms.fedrep(model), population"),
        ("algorithm:ditto algorithm:per_fedavg", "algorithm: expected one, got algorithm:ditto algorithm:per_fedavg"),
        ("--algorithm.inner-lrr 1", "got '--algorithm.inner-lrr', did you mean '--algorithm.inner-lr'?"),
        ("algorithm:ditto --algorithm.inner-lr 1", "expected one that pfljax run keyboard algorithm:ditto has, got"),
        ("--round 3", "did you mean '--rounds'?"),
        ("--xyzzy", "got '--xyzzy'; see pfljax run --help"),
        ("--rounds 3 stray", "got 'stray'"),
        ("--rounds many", "--rounds: expected a whole number, got 'many'"),
        ("--warmup.lr fast", "--warmup.lr: expected a number, got 'fast'"),
        ("--eval-every ten", "--eval-every: expected a whole number or None, got 'ten'"),
        ("--eval-every 0", "--eval-every: expected a whole number of at least 1, got 0; raise it"),
        ("--checkpoint.best loss", "--checkpoint.best: expected --eval-every beside it, got 'loss' alone; add it"),
        ("--rounds", "'--rounds'"),
        ("--algorithm.order second", "'second'"),
        ("--rounds 0", "--rounds: expected a whole number of at least 1, got 0; raise it"),
        ("--warmup.lr -1", "--warmup.lr: expected a finite number above 0, got -1.0; try 0.1"),
        ("algorithm:ditto --algorithm.lam -1", "--algorithm.lam: expected a finite number of at least 0, got -1.0"),
    ],
)
def test_mistakes_are_one_line(words, said, capsys):
    with pytest.raises(PflError) as error:
        parse(words.split())
    assert said in str(error.value)
    assert not set(str(error.value)) & set("\n│─╭╰")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("index", range(3))
def test_help_says_something_about_every_option(preset, index, capsys):
    name = PRESETS[preset].algorithms[index].name
    with pytest.raises(SystemExit) as stop:
        parse([preset, f"algorithm:{name}", "--help"])
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "algorithm:per_fedavg, algorithm:ditto, algorithm:fedavg_finetune" in text
    for option in options(PRESETS[preset].config(name)):
        help_text = text.rsplit(f" {option} ", 1)[1].split("(default")[0]
        assert len(help_text.split()) > 3, option
