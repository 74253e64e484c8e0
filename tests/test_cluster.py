"""What the environment must say, what processes refuse about each other, and that the scripts say what is read."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time

import jax
import pytest
import yaml

from pfljax import cluster
from pfljax.cluster import Place, compare, described, differences
from pfljax.errors import PflError
from tests.support.processes import ROOT, free_port, launched
from tests.support.refusal import refusal

GIVEN = {"JAX_COORDINATOR_ADDRESS": "10.0.0.1:8476", "JAX_NUM_PROCESSES": "4", "JAX_PROCESS_ID": "3"}
COMPARING = """
from pfljax import processes
from pfljax.cluster import same_everywhere, use_processes
import jax
assert use_processes() == 3
me = jax.process_index()
same_everywhere({"--seed": "1", "jax": jax.__version__})
third = 1 / 3 + me * 1e-12
assert processes.everyone(third).tolist() == [1 / 3, 1 / 3 + 1e-12, 1 / 3 + 2e-12]
assert (processes.agreed(third), processes.smallest(-me)) == (1 / 3, -2.0)
assert processes.anyone(me == 1) and not processes.anyone(False)
assert processes.is_first() == (me == 0)
print("same", flush=True)
same_everywhere({"--seed": "1", "--algorithm.lr": "0.2" if me == 2 else "0.1"})
print("not reached")
"""


class Store:
    """A key-value store of one thread: what is asked for must be there."""

    def __init__(self):
        self.texts: dict[str, str] = {}
        self.numbers: dict[str, int] = {}

    def key_value_set(self, key: str, text: str) -> None:
        assert key not in self.texts
        self.texts[key] = text

    def key_value_increment(self, key: str, by: int) -> int:
        self.numbers[key] = self.numbers.get(key, 0) + by
        return self.numbers[key]

    def blocking_key_value_get(self, key: str, timeout_in_ms: int) -> str:
        return self.texts[key]


def test_three_variables():
    assert described(GIVEN) == Place("10.0.0.1:8476", 4, 3)
    assert described(GIVEN | {"JAX_COORDINATOR_ADDRESS": "[::1]:80"}) == Place("[::1]:80", 4, 3)
    assert described({}) is None
    assert described({"JAX_NUM_PROCESSES": "", "HOME": "/"}) is None


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("JAX_COORDINATOR_ADDRESS", "10.0.0.1"),
        ("JAX_COORDINATOR_ADDRESS", ":8476"),
        ("JAX_COORDINATOR_ADDRESS", "host:99999"),
        ("JAX_NUM_PROCESSES", "0"),
        ("JAX_NUM_PROCESSES", "four"),
        ("JAX_PROCESS_ID", "-1"),
        ("JAX_PROCESS_ID", "4"),
    ],
)
def test_variables_that_make_no_sense(name, word):
    said = refusal(described, GIVEN | {name: word})
    assert said.startswith(f"{name}: expected")
    assert word in said


def test_a_variable_that_is_missing():
    without = {name: word for name, word in GIVEN.items() if name != "JAX_PROCESS_ID"}
    assert "set JAX_PROCESS_ID too" in refusal(described, without)


def test_a_port_that_is_taken(monkeypatch):
    """JAX itself crashes here."""
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        words = {"JAX_COORDINATOR_ADDRESS": f"localhost:{taken.getsockname()[1]}", "JAX_PROCESS_ID": "0"}
        for name, word in (GIVEN | words).items():
            monkeypatch.setenv(name, word)
        assert "a port that is free on process 0" in refusal(cluster.use_processes)


def test_the_heartbeat_is_checked():
    assert "heartbeat" in refusal(cluster.use_processes, heartbeat=0.5)


def test_jax_is_already_up(monkeypatch):
    """As in this process. It is left as it was."""
    before = jax.config.values["jax_cpu_collectives_implementation"]
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", f"localhost:{free_port()}")
    monkeypatch.setenv("JAX_NUM_PROCESSES", "2")
    monkeypatch.setenv("JAX_PROCESS_ID", "1")
    with pytest.raises(PflError, match="move the call to the top"):
        cluster.use_processes()
    assert jax.config.values["jax_cpu_collectives_implementation"] == before


def test_differences_are_named():
    told = [("a", {"x": "1", "y": "2"}), ("b", {"x": "1", "y": "2"}), ("c", {"x": "3", "z": "4"})]
    assert differences(told) == [
        "got x 1 on process 0 (a) and 3 on process 2 (c)",
        "got y 2 on process 0 (a) and nothing on process 2 (c)",
        "got z nothing on process 0 (a) and 4 on process 2 (c)",
    ]
    assert differences(told[:2]) == []


def test_all_refuse_alike():
    """Each process sees the same differences, and a second comparison is not the first."""
    store = Store()
    fields = [{"--seed": "1"}, {"--seed": "1"}, {"--seed": "2"}]

    def publish(process):  # the others have not come yet
        with pytest.raises(KeyError):
            compare(store, process, 3, fields[process])

    publish(0)
    publish(1)
    said = refusal(compare, store, 2, 3, fields[2])
    assert "got --seed 1 on process 0 (" in said
    assert "and 2 on process 2 (" in said
    fields = [{"--seed": "5"}] * 3
    publish(0)
    publish(1)
    compare(store, 2, 3, fields[2])


def test_one_process_is_like_itself():
    cluster.same_everywhere({"--seed": "1"})


def test_kubernetes():
    """The manifest parses, starts as many processes as it says, and sets the variables that are read."""
    service, job = yaml.safe_load_all((ROOT / "scripts/kubernetes.yaml").read_text())
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    values = {each["name"]: each.get("value", "1") for each in container["env"]}
    name = job["metadata"]["name"]
    assert pod["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"] == {"job-name": name}
    assert described(values) == Place(f"{name}-0.{pod['subdomain']}:8476", spec["completions"], 1)
    assert spec["completions"] == spec["parallelism"]
    assert container["args"][-2:] == ["--engine.processes", "cluster"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("name", ["slurm.sh", "tpu_pod.sh"])
def test_shell_scripts_parse(name):
    script = ROOT / "scripts" / name
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("words", [["keyboard", "--rounds", "5"], ["--resume", "runs/old"]])
def test_slurm_starts_a_run(tmp_path, words):
    """With an `srun` that shows what it was given."""
    srun = tmp_path / "srun"
    srun.write_text('#!/bin/sh\necho "$JAX_LOCAL_DEVICE_IDS $*"\n')
    srun.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "17", "SLURM_GPUS_ON_NODE": "4"}
    made = subprocess.run(["bash", str(ROOT / "scripts/slurm.sh"), *words], env=env, capture_output=True, text=True)
    out = "" if "--resume" in words else "--out runs/17 "
    assert made.stdout == (
        f"0,1,2,3 --kill-on-bad-exit=1 --label pfljax run {' '.join(words)} {out}--engine.processes cluster\n"
    ), made


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_tpu_pod_quotes_what_it_runs(tmp_path):
    """With a `gcloud` that shows what it was given."""
    gcloud = tmp_path / "gcloud"
    gcloud.write_text('#!/bin/sh\nfor word in "$@"; do echo "$word"; done\n')
    gcloud.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PROJECT": "p", "ZONE": "z"}
    script = ["bash", str(ROOT / "scripts/tpu_pod.sh")]
    words = ["run", "keyboard", "--out", "a b"]
    said = subprocess.run([*script, *words], env=env, capture_output=True, text=True, check=True).stdout
    assert "--worker=all" in said.splitlines()
    assert r"venv/bin/pfljax run keyboard --out a\ b  --engine.processes cluster" in said.splitlines()
    assert subprocess.run([*script, "jump"], env=env, capture_output=True).returncode == 2


@pytest.mark.slow
def test_processes_agree_and_those_that_differ_are_refused_by_name():
    """What each has measured comes to all, to the last bit."""
    for ended in launched(COMPARING, 3, timeout=90.0):
        assert ended.returncode in (1, 3), ended
        assert "same\n" in ended.stdout
        assert "not reached" not in ended.stdout
        said = r"got --algorithm\.lr 0\.1 on process 0 \(.+\) and 0\.2 on process 2 \(.+\); start all with the same"
        assert re.search(said, ended.stderr), ended


@pytest.mark.slow
def test_nothing_to_join():
    """No variables, no cluster."""
    program = "from pfljax.cluster import use_processes; use_processes()"
    env = {name: "" for name in GIVEN}
    (ended,) = launched(program, 1, env=env)
    assert ended.returncode == 1
    assert "processes: expected SLURM, Open MPI, Kubernetes, a Cloud TPU or JAX_COORDINATOR_ADDRESS" in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("process", [0, 1])
def test_others_that_do_not_come(process):
    program = "from pfljax import cluster; cluster.JOIN_SECONDS = 3; cluster.use_processes()"
    env = {"JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": str(process)}
    (ended,) = launched(program, 1, env=env, timeout=60.0)
    assert ended.returncode == 3, ended
    assert "processes: expected the 2 processes to meet at 127.0.0.1:" in ended.stderr
    assert "within 3 s, got fewer" in ended.stderr


@pytest.mark.slow
def test_ctrl_c_goes_to_all_once():
    """The script passes it on, and takes the exit code that the processes choose."""
    counting = (
        "import signal, sys, time, os; pressed = []\n"
        "signal.signal(signal.SIGINT, lambda *_: pressed.append(1))\n"
        "print('ready', os.environ['JAX_PROCESS_ID'], flush=True)\n"
        "end = time.monotonic() + 20\n"
        "while not pressed and time.monotonic() < end: time.sleep(0.05)\n"
        "time.sleep(0.5); print('pressed', len(pressed), flush=True)\n"
    )
    script = [sys.executable, str(ROOT / "scripts/launch_local.py"), "-n", "2", "--", sys.executable, "-c", counting]
    with subprocess.Popen(script, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        ready = sorted(started.stdout.readline() for _ in range(2))
        assert ready == ["[1] ready 1\n", "ready 0\n"]
        time.sleep(0.2)
        started.send_signal(2)
        said, _ = started.communicate(timeout=30)
    assert started.returncode == 0
    assert sorted(said.splitlines()) == ["[1] pressed 1", "pressed 1"]
