"""Model descriptions: plain dicts that every contestant builds its own network from, and where training starts.

Kernels are [in, out] or [height, width, in, out]; the names are those of pfljax's own models.
"""

import numpy as np


def mlp(*sizes: int) -> dict:
    """Linear layers with ReLU between; two sizes are a logistic regression. uint8 inputs are scaled to [0, 1]."""
    return {"kind": "mlp", "sizes": list(sizes)}


def cnn(shape: tuple[int, int, int], features: tuple[int, int], dense: int, classes: int) -> dict:
    """Two valid 3x3 convolutions with ReLU, 2x2 max pooling after them, a ReLU layer, a linear head."""
    return {"kind": "cnn", "shape": list(shape), "features": list(features), "dense": dense, "classes": classes}


def shapes(model: dict) -> dict[str, tuple[int, ...]]:
    """{parameter name: shape}."""
    if model["kind"] == "mlp":
        *hidden, last = zip(model["sizes"], model["sizes"][1:], strict=False)
        layers = {f"body/{index}": pair for index, pair in enumerate(hidden)} | {"head": last}
    elif model["kind"] == "cnn":
        (height, width, channels), (first, second) = model["shape"], model["features"]
        flat = ((height - 4) // 2) * ((width - 4) // 2) * second
        layers = {
            "conv/0": (3, 3, channels, first),
            "conv/1": (3, 3, first, second),
            "dense": (flat, model["dense"]),
            "head": (model["dense"], model["classes"]),
        }
    else:
        raise ValueError(f"model: expected kind mlp or cnn, got {model['kind']!r}")
    kernels = {f"{name}/kernel": tuple(shape) for name, shape in layers.items()}
    return kernels | {f"{name}/bias": (shape[-1],) for name, shape in layers.items()}


def initial(model: dict, seed: int) -> dict[str, np.ndarray]:
    """{name: float32}: kernels of variance 1 / fan-in, small biases (not zero, so that no check misses one)."""
    random = np.random.default_rng([seed, *b"initial"])
    scale = lambda shape: 0.01 if len(shape) == 1 else np.prod(shape[:-1]) ** -0.5
    return {name: (random.normal(size=s) * scale(s)).astype(np.float32) for name, s in sorted(shapes(model).items())}
