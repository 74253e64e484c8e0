"""The described models as torch modules, and their parameters under the work's names."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from peers import models


class Network(nn.Module):
    """A described model: logits of what `inputs` gives, and the mean cross-entropy against classes y."""

    def __init__(self, model: dict):
        super().__init__()
        self.model = model
        if model["kind"] == "attention":
            self.embed = nn.Embedding(model["classes"], model["features"])
            self.positions = nn.Parameter(torch.empty(model["time"], model["features"]))
            self.body = Block(model["features"], model["heads"], model["hidden"])
            self.norm = nn.LayerNorm(model["features"], eps=1e-6)
            self.head = nn.Linear(model["features"], model["classes"])
        elif model["kind"] == "mlp":
            *pairs, last = zip(model["sizes"], model["sizes"][1:], strict=False)
            self.body = nn.ModuleList([nn.Linear(*pair) for pair in pairs])
            self.head = nn.Linear(*last)
        else:
            first, second = model["features"]
            convolutions = [nn.Conv2d(model["shape"][-1], first, 3), nn.Conv2d(first, second, 3)]
            self.body = nn.ModuleList([*convolutions, nn.Linear(int(np.prod(models.pooled(model))), model["hidden"])])
            self.head = nn.Linear(model["hidden"], model["classes"])

    def forward(self, x):
        if self.model["kind"] == "attention":
            return self.head(self.norm(self.body(self.embed(x) + self.positions)))
        if self.model["kind"] == "mlp":
            for layer in self.body:
                x = layer(x).relu()
            return self.head(x)
        for layer in self.body[:2]:
            x = layer(x).relu()
        return self.head(self.body[2](nn.functional.max_pool2d(x, 2).flatten(1)).relu())

    def loss(self, x, y):
        return nn.functional.cross_entropy(self(x).flatten(0, -2), y.flatten())


class Block(nn.Module):
    """Causal self-attention and a ReLU layer, each on normed inputs and added to its input."""

    def __init__(self, features: int, heads: int, hidden: int):
        super().__init__()
        self.norm_attention = nn.LayerNorm(features, eps=1e-6)
        self.attention = nn.ModuleDict({n: nn.Linear(features, features) for n in ("query", "key", "value", "out")})
        self.norm_dense = nn.LayerNorm(features, eps=1e-6)
        self.up, self.down = nn.Linear(features, hidden), nn.Linear(hidden, features)
        self.heads = heads

    def forward(self, x):
        normed = self.norm_attention(x)
        split = [
            self.attention[n](normed).unflatten(-1, (self.heads, -1)).transpose(1, 2) for n in ("query", "key", "value")
        ]
        mixed = nn.functional.scaled_dot_product_attention(*split, is_causal=True)
        x = x + self.attention["out"](mixed.transpose(1, 2).flatten(2))
        return x + self.down(self.up(self.norm_dense(x)).relu())


def inputs(x: np.ndarray) -> torch.Tensor:
    """Images in float32, [0, 1], channels first, once before training; anything else as it is."""
    x = x.astype(np.float32) / 255 if x.dtype == np.uint8 else np.asarray(x)
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1)) if x.ndim == 4 else x)


def fill(network: Network, params: dict[str, np.ndarray]) -> Network:
    """Sets every parameter from the work's."""
    left = dict(params)
    with torch.no_grad():
        for name, module, tensor in _parameters(network):
            array = left.pop(name)
            if isinstance(module, nn.Conv2d) and array.ndim == 4:
                array = array.transpose(3, 2, 0, 1)
            elif isinstance(module, nn.Linear) and tensor.ndim == 2:
                array = _flat_order(network.model, name, array.reshape(*tensor.shape[::-1]), is_ours=True).T
            tensor.copy_(torch.from_numpy(np.ascontiguousarray(array)).reshape(tensor.shape))
    if left:
        raise ValueError(f"parameters: expected all to be the module's, left are {sorted(left)}")
    return network


def named(network: Network) -> dict[str, np.ndarray]:
    """The module's parameters under the work's names, in the work's layout."""
    shapes, arrays = models.shapes(network.model), {}
    for name, module, tensor in _parameters(network):
        array = tensor.detach().numpy().copy()
        if isinstance(module, nn.Conv2d) and array.ndim == 4:
            array = array.transpose(2, 3, 1, 0)
        elif isinstance(module, nn.Linear) and array.ndim == 2:
            array = _flat_order(network.model, name, array.T, is_ours=False)
        arrays[name] = array.reshape(shapes[name])
    return arrays


def _parameters(network: Network) -> Iterator[tuple[str, nn.Module, torch.Tensor]]:
    """(the work's name, its module, the tensor)."""
    weights = {nn.Embedding: "embedding", nn.LayerNorm: "scale"}
    for path, module in network.named_modules():
        for name, tensor in module.named_parameters(recurse=False):
            name = weights.get(type(module), "kernel") if name == "weight" else name
            yield "/".join([*path.split("."), name]).lstrip("/"), module, tensor


def _flat_order(model: dict, name: str, kernel: np.ndarray, is_ours: bool) -> np.ndarray:
    """[in, out] with a CNN's pooled pixels, which torch has channels first, in the other order."""
    if model["kind"] != "cnn" or name != "body/2/kernel":
        return kernel
    height, width, channels = models.pooled(model)
    if is_ours:
        return kernel.reshape(height, width, channels, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
    return kernel.reshape(channels, height, width, -1).transpose(1, 2, 0, 3).reshape(kernel.shape)
