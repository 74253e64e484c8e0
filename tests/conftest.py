"""A strict world for every test: 8 CPU devices, no silent promotion, warnings as errors (pyproject.toml)."""

import jax

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
