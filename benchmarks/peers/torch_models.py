"""The described models as torch modules, and their parameters under the work's names."""

import numpy as np
import torch
from torch import nn


class Network(nn.Module):
    """A described model; `forward` gives logits, of images as the work stores them."""

    def __init__(self, model: dict):
        super().__init__()
        self.model = model
        if model["kind"] == "mlp":
            pairs = list(zip(model["sizes"], model["sizes"][1:], strict=False))
            self.body = nn.ModuleList([nn.Linear(a, b) for a, b in pairs[:-1]])
            self.head = nn.Linear(*pairs[-1])
        else:
            (height, width, channels), (first, second) = model["shape"], model["features"]
            self.conv = nn.ModuleList([nn.Conv2d(channels, first, 3), nn.Conv2d(first, second, 3)])
            self.dense = nn.Linear(((height - 4) // 2) * ((width - 4) // 2) * second, model["dense"])
            self.head = nn.Linear(model["dense"], model["classes"])

    def forward(self, x):
        if self.model["kind"] == "mlp":
            for layer in self.body:
                x = layer(x).relu()
            return self.head(x)
        for layer in self.conv:
            x = layer(x).relu()
        return self.head(self.dense(nn.functional.max_pool2d(x, 2).flatten(1)).relu())


def inputs(x: np.ndarray) -> torch.Tensor:
    """float32, [0, 1], channels first: converted once, before training."""
    x = x.astype(np.float32) / 255 if x.dtype == np.uint8 else np.asarray(x)
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1)) if x.ndim == 4 else x)


def fill(network: Network, params: dict[str, np.ndarray]) -> Network:
    """Sets every parameter from the work's."""
    own = dict(network.named_parameters())
    if {_name(name) for name in own} != set(params):
        raise ValueError(f"parameters: expected {sorted(params)}, the module has {sorted(own)}")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(torch.from_numpy(_turned(params[_name(name)], network.model, name, is_ours=True)))
    return network


def named(network: Network) -> dict[str, np.ndarray]:
    """The module's parameters under the work's names, in the work's layout."""
    array = lambda name, tensor: _turned(tensor.detach().numpy(), network.model, name, is_ours=False).copy()
    return {_name(name): array(name, tensor) for name, tensor in network.named_parameters()}


def _name(name: str) -> str:
    return name.replace("weight", "kernel").replace(".", "/")


def _turned(array: np.ndarray, model: dict, name: str, is_ours: bool) -> np.ndarray:
    """Kernels from [in, out] to torch's [out, in] or back; the dense layer after pooling reads channels first."""
    if array.ndim == 1:
        return array
    if array.ndim == 4:
        return array.transpose(3, 2, 0, 1) if is_ours else array.transpose(2, 3, 1, 0)
    if name == "dense.weight":
        (height, width, _), channels = model["shape"], model["features"][-1]
        grid = ((height - 4) // 2, (width - 4) // 2)
        if is_ours:
            array = array.reshape(*grid, channels, -1).transpose(2, 0, 1, 3).reshape(array.shape)
        else:
            array = array.T.reshape(channels, *grid, -1).transpose(1, 2, 0, 3).reshape(array.shape[::-1]).T
    return array.T
