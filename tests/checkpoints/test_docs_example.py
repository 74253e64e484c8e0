"""The example of docs/checkpoints.md is run as printed."""

import re
from pathlib import Path

import numpy as np
import pytest

from tests.support.runs import bits

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_example(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/checkpoints.md").read_text(), re.DOTALL)
    names: dict = {}
    exec(code, names)
    np.testing.assert_array_equal(bits(names["last"].server), bits(names["result"].server))
    assert names["last"].records == names["result"].records
    losses = {each["round"] + 1: each.get("validation_loss", np.inf) for each in names["result"].records}
    assert len(names["best"].records) == min(losses, key=lambda done: losses[done])
    assert "personalized" in capsys.readouterr().out
