"""Parts of a tree by path pattern: which leaves match, and that all others stay where they are."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pfljax.errors import PflError
from pfljax.local import subset
from pfljax.local.paths import keep, mask, path_of

PARAMS = {
    "body": [{"kernel": np.full((3, 2), 0.5, np.float32), "bias": np.full(2, 0.25, np.float32)}],
    "head": {"kernel": np.full((2, 4), 2.0, np.float32), "bias": np.full(4, -1.0, np.float32)},
}
NAMES = ["body/0/bias", "body/0/kernel", "head/bias", "head/kernel"]


def by_name(tree) -> dict:
    return {path_of(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]}


@pytest.mark.parametrize(
    ("pattern", "chosen"),
    [
        ("head/*", ["head/bias", "head/kernel"]),
        ("*kernel", ["body/0/kernel", "head/kernel"]),
        ("body/0/bias", ["body/0/bias"]),
        ("*/[0-9]/*", ["body/0/bias", "body/0/kernel"]),
        ("*", NAMES),
    ],
)
def test_patterns_choose_leaves(pattern, chosen):
    assert list(by_name(PARAMS)) == NAMES
    found = by_name(mask(PARAMS, pattern))
    assert [name for name, is_chosen in found.items() if is_chosen is True] == chosen
    assert all(type(is_chosen) is bool for is_chosen in found.values())
    kept = by_name(keep(PARAMS, pattern))
    for name, leaf in by_name(PARAMS).items():
        np.testing.assert_array_equal(kept[name], leaf if name in chosen else np.zeros_like(leaf))
        assert kept[name].dtype == leaf.dtype


@pytest.mark.parametrize("pattern", ["haed/*", "head", "HEAD/*", ""])
def test_a_pattern_without_match_is_refused(pattern):
    for use in (mask, keep, lambda tree, pattern: subset(optax.sgd(0.1), pattern).init(tree)):
        with pytest.raises(PflError, match="expected it to match a parameter, got none of body/0/bias, "):
            use(PARAMS, pattern)


def test_no_pattern_is_everything():
    optimizer = optax.sgd(0.1)
    assert keep(PARAMS, None) is PARAMS
    assert subset(optimizer, None) is optimizer


OPTIMIZERS = {
    "momentum": optax.sgd(0.1, momentum=0.9),
    "decay": optax.adamw(0.1, weight_decay=0.5),
    "norm": optax.chain(optax.add_decayed_weights(0.1), optax.clip_by_global_norm(0.5), optax.sgd(0.3)),
}


def trained(optimizer: optax.GradientTransformation, num_steps: int = 4):
    """Parameters after some steps in which every gradient is 1."""

    @jax.jit
    def run(params):
        state = optimizer.init(params)
        for _ in range(num_steps):
            updates, state = optimizer.update(jax.tree.map(jnp.ones_like, params), state, params)
            params = optax.apply_updates(params, updates)
        return params

    with jax.numpy_dtype_promotion("standard"):  # optax.adamw asks for it
        return run(jax.tree.map(jnp.asarray, PARAMS))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_others_stay_bitwise_where_they_are(name):
    optimizer = OPTIMIZERS[name]
    before, after = by_name(PARAMS), by_name(trained(subset(optimizer, "head/*")))
    for leaf in NAMES:
        same = np.asarray(after[leaf]).tobytes() == before[leaf].tobytes()
        assert same == leaf.startswith("body")
    everything = by_name(trained(optimizer))
    assert not any(np.array_equal(everything[leaf], before[leaf]) for leaf in NAMES)


@pytest.mark.parametrize("name", ["momentum", "decay"])
def test_chosen_leaves_move_as_they_would_alone(name):
    part, whole = by_name(trained(subset(OPTIMIZERS[name], "head/*"))), by_name(trained(OPTIMIZERS[name]))
    for leaf in ("head/bias", "head/kernel"):
        np.testing.assert_allclose(part[leaf], whole[leaf], rtol=1e-6)


def test_a_norm_is_taken_over_the_chosen_leaves_only():
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(1.0))
    found = by_name(trained(subset(optimizer, "head/*"), num_steps=1))
    np.testing.assert_allclose(found["head/kernel"], 2.0 - 1 / np.sqrt(12), rtol=1e-6)
