"""Model descriptions: plain dicts that every contestant builds its own network from, and where training starts.

Kernels are [in, out] or [height, width, in, out]; names and shapes are those of pfljax's own models.
"""

import numpy as np


def mlp(*sizes: int) -> dict:
    """Linear layers with ReLU between; two sizes are a logistic regression. uint8 inputs are scaled to [0, 1]."""
    return {"kind": "mlp", "sizes": list(sizes)}


def cnn(shape: tuple[int, int, int], features: tuple[int, int], hidden: int, classes: int) -> dict:
    """Two valid 3x3 convolutions with ReLU, 2x2 max pooling after them, a ReLU layer, a linear head."""
    return {"kind": "cnn", "shape": list(shape), "features": list(features), "hidden": hidden, "classes": classes}


def attention(classes: int, time: int, features: int, heads: int, hidden: int) -> dict:
    """A language model of one causal attention block, normed before each part, on symbols and learned positions."""
    sizes = {"classes": classes, "time": time, "features": features, "heads": heads, "hidden": hidden}
    return {"kind": "attention"} | sizes


def num_classes(model: dict) -> int:
    return model.get("classes") or model["sizes"][-1]


def pooled(model: dict) -> tuple[int, int, int]:
    """[height, width, channel] of what a CNN's dense layer reads."""
    height, width, _ = model["shape"]
    return (height - 4) // 2, (width - 4) // 2, model["features"][-1]


def shapes(model: dict) -> dict[str, tuple[int, ...]]:
    """{parameter name: shape}."""
    if model["kind"] == "mlp":
        *hidden, last = zip(model["sizes"], model["sizes"][1:], strict=False)
        return _layers({f"body/{index}": pair for index, pair in enumerate(hidden)} | {"head": last})
    if model["kind"] == "cnn":
        first, second = model["features"]
        kernels = {"body/0": (3, 3, model["shape"][-1], first), "body/1": (3, 3, first, second)}
        kernels |= {
            "body/2": (int(np.prod(pooled(model))), model["hidden"]),
            "head": (model["hidden"], model["classes"]),
        }
        return _layers(kernels)
    if model["kind"] == "attention":
        classes, time, wide, heads, hidden = (model[n] for n in ("classes", "time", "features", "heads", "hidden"))
        split = (heads, wide // heads)
        made = {"embed/embedding": (classes, wide), "positions": (time, wide)}
        for name in ("query", "key", "value"):
            made |= {f"body/attention/{name}/kernel": (wide, *split), f"body/attention/{name}/bias": split}
        made |= {"body/attention/out/kernel": (*split, wide), "body/attention/out/bias": (wide,)}
        for name in ("body/norm_attention", "body/norm_dense", "norm"):
            made |= {f"{name}/scale": (wide,), f"{name}/bias": (wide,)}
        return made | _layers({"body/up": (wide, hidden), "body/down": (hidden, wide), "head": (wide, classes)})
    raise ValueError(f"model: expected kind mlp, cnn or attention, got {model['kind']!r}")


def initial(model: dict, seed: int) -> dict[str, np.ndarray]:
    """{name: float32}: kernels of variance 1 / fan-in, scales near 1, small biases (not 0, so no check misses one)."""
    random = np.random.default_rng([seed, *b"initial"])

    def draw(name, shape):
        if name.endswith("scale"):
            return random.normal(1.0, 0.01, shape)
        if name.endswith("bias"):
            return random.normal(0.0, 0.01, shape)
        return random.normal(0.0, _fan_in(name, shape) ** -0.5, shape)

    return {name: draw(name, shape).astype(np.float32) for name, shape in sorted(shapes(model).items())}


def _fan_in(name: str, shape: tuple[int, ...]) -> int:
    """Of a kernel, the inputs of one output; rows of tables count their own length, so that their sum stays near 1."""
    if name in ("embed/embedding", "positions"):
        return shape[-1]
    split = name.split("/")[-2] in ("query", "key", "value")  # [in, head, feature]
    return int(np.prod(shape[:1] if split else shape[:-1]))


def _layers(kernels: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    biases = {f"{name}/bias": shape[-1:] for name, shape in kernels.items()}
    return {f"{name}/kernel": tuple(shape) for name, shape in kernels.items()} | biases
