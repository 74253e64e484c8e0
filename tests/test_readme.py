"""The README's Python runs as printed, on a small scale, and its own-algorithm example is what it claims to be."""

import re
from pathlib import Path

import jax
import numpy as np
import optax

import pfljax as pfl
from tests.support.zoo import people, tiny_model

README = (Path(__file__).parents[1] / "README.md").read_text()


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_example_runs(capsys, monkeypatch):
    monkeypatch.setattr(pfl, "use_cores", lambda: None)  # devices are already up here
    whole = pfl.data.load("keyboard")
    small = whole.take(np.argsort(whole.sizes(), kind="stable")[:40])
    monkeypatch.setattr(pfl.data, "load", lambda name: small)
    code = blocks()[0].replace("rounds=100", "rounds=1").replace("rounds=20", "rounds=1")
    exec(code, {})
    assert "personalized" in capsys.readouterr().out


def test_fedprox_with_mu_zero_is_fedavg():
    namespace: dict = {}
    exec(blocks()[1], namespace)
    population = people()
    model = tiny_model(population)
    run = lambda algorithm: pfl.simulate(algorithm, population, cohort=4, rounds=3, devices=1)
    work = {"client_opt": optax.sgd(0.1), "epochs": 2}
    plain, none, some = (
        run(algorithm)
        for algorithm in (
            pfl.algorithms.fedavg(model, **work),
            namespace["fedprox"](model, mu=0.0, **work),
            namespace["fedprox"](model, mu=1.0, **work),
        )
    )
    flat = lambda result: np.concatenate([np.ravel(x) for x in jax.tree.leaves(result.vars)])
    np.testing.assert_array_equal(flat(plain), flat(none))
    assert not np.array_equal(flat(plain), flat(some))


def test_both_commands_are_one_line_each():
    for name in ("run", "test"):
        (command,) = re.findall(rf"<!-- command: {name} -->\n```sh\n(.*)\n```", README)
        assert command.startswith("python3 -m venv .venv && ")
