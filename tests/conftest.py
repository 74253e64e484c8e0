"""A strict world for every test: 8 CPU devices, no silent promotion, warnings as errors (pyproject.toml)."""

import os
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

# Half of the suite's time is compilation of tiny programs that run once: compile them without LLVM's optimizations. The
# fast set (and its workers, which inherit the environment) also leaves out the emitters that users have: the others
# compile three times as fast. Slow tests, and modules that use `as_shipped`, keep them; from jax 0.11 on there are no
# others, and the flag is unknown. Flags of the environment win.
FAST_COMPILE = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
HAS_QUICK_EMITTERS = version("jaxlib").startswith("0.10.")
if "not slow" in sys.argv and HAS_QUICK_EMITTERS:
    FAST_COMPILE += " --xla_cpu_use_fusion_emitters=false"
os.environ["XLA_FLAGS"] = f"{FAST_COMPILE} {os.environ.get('XLA_FLAGS', '')}".strip()

import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_enable_compilation_cache", False)  # the command line turns it on for its whole process
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="pfljax-tests-")  # the user's own cache stays as it is
jax.devices()  # the devices are up: no test can change their number any more

MANY_MAPS = 30_000  # of memory by one process; the kernel allows 65,530, and XLA dies where it gets no more


@pytest.fixture(autouse=True)
def room_for_programs():
    """Lets go of compiled programs now and then: each maps memory, and a suite compiles thousands."""
    yield
    if Path("/proc/self/maps").read_bytes().count(b"\n") > MANY_MAPS:
        jax.clear_caches()


@pytest.fixture(scope="module")
def as_shipped():
    """Blocks of rounds compiled by the emitters that users have: for equal bits of programs that differ, since the last
    bits of a client's numbers hang on which operations were fused.
    """
    from pfljax.engine import program

    names = {"static_argnames": ("spec", "mesh"), "donate_argnames": ("carry",)}
    options = {"xla_cpu_use_fusion_emitters": True} if HAS_QUICK_EMITTERS else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "run_block", jax.jit(program.run_block.__wrapped__, compiler_options=options, **names))
        yield
