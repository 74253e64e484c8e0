"""Convolution and pooling without convolution or window ops, which crawl under per-client kernels.

Under vmap over kernels `lax.conv_general_dilated` is a grouped convolution, and inside a loop on a CPU it runs 30 to 50
times slower than outside. Here a convolution is one matmul of patches with the kernel.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from pfljax.errors import PflError

# Bytes of patches. More than LARGE fall out of a CPU's caches on their way to the matmul, so there they go PIECE by
# PIECE and are built again for the backward pass. Accelerators take the whole batch: the loop would cost them more.
LARGE, PIECE = 2**23, 2**20


def conv_general_dilated(
    lhs: jax.Array,
    rhs: jax.Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: None = None,
) -> jax.Array:
    """`jax.lax.conv_general_dilated` as patches and a matmul, for flax: `nnx.Conv(..., conv_general_dilated=this)`.

    Arguments, result and errors are those of lax. Raises PflError for batch groups and for an output sharding, which
    are not there.
    """
    if batch_group_count != 1 or out_sharding is not None:
        raise PflError(
            "conv_general_dilated: expected batch_group_count=1 and out_sharding=None, got "
            f"{batch_group_count} and {out_sharding}; use jax.lax.conv_general_dilated"
        )
    convolution = partial(
        lax.conv_general_dilated,
        window_strides=window_strides,
        padding=padding,
        lhs_dilation=lhs_dilation,
        rhs_dilation=rhs_dilation,
        dimension_numbers=dimension_numbers,
        feature_group_count=feature_group_count,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )
    # Only asked for its errors, and for the shape and dtype that come out.
    out = jax.eval_shape(convolution, lhs, rhs)
    if 0 in out.shape:
        return jnp.zeros(out.shape, out.dtype)

    axes = lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    x = lax.transpose(lhs, _channel_last(axes.lhs_spec))
    kernel = lax.transpose(rhs, (*axes.rhs_spec[2:], axes.rhs_spec[1], axes.rhs_spec[0]))
    window, ones = kernel.shape[:-2], (1,) * (kernel.ndim - 2)
    dilation = tuple(rhs_dilation or ones)
    if isinstance(padding, str):
        reach = [(size - 1) * step + 1 for size, step in zip(window, dilation, strict=True)]
        padding = lax.padtype_to_pads(x.shape[1:-1], reach, window_strides, padding)
    edges = [(low, high, step - 1) for (low, high), step in zip(padding, lhs_dilation or ones, strict=True)]
    if any(map(any, edges)):
        x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *edges, (0, 0, 0)])

    def matmul(x, kernel):
        patches = jnp.concatenate(_shifted(x, window, window_strides, dilation), axis=-1)
        # Flat: XLA makes slower programs of the gradient of a product with more axes.
        flat, kernel = patches.reshape(-1, patches.shape[-1]), kernel.reshape(-1, kernel.shape[-1])
        y = lax.dot_general(flat, kernel, (((1,), (0,)), ((), ())), precision, out.dtype)
        return y.reshape(*patches.shape[:-1], -1)

    if feature_group_count > 1:
        matmul = _grouped(matmul, feature_group_count)
    num_bytes = math.prod(out.shape) // out.shape[axes.out_spec[1]] * math.prod(window) * x.shape[-1] * x.dtype.itemsize
    y = _in_pieces(matmul, num_bytes)(x, kernel)
    order = _channel_last(axes.out_spec)
    return lax.transpose(y, [order.index(axis) for axis in range(y.ndim)])


def max_pool(x: jax.Array, window: Sequence[int], strides: Sequence[int] | None = None) -> jax.Array:
    """The largest entry of each window. x: [batch, ..., channel]; `strides`: the window itself if not given.

    Windows that do not fit are left out (`VALID`). Entries that tie for the largest share the gradient equally,
    where `lax.reduce_window` gives it all to the first.
    """
    if strides is None or tuple(strides) == tuple(window):
        return _tiled(x, window).max(axis=tuple(range(2, 2 * len(window) + 1, 2)))
    return jnp.stack(_shifted(x, window, strides)).max(axis=0)


def avg_pool(x: jax.Array, window: Sequence[int], strides: Sequence[int] | None = None) -> jax.Array:
    """The mean of each window; otherwise as `max_pool`."""
    if strides is None or tuple(strides) == tuple(window):
        return _tiled(x, window).mean(axis=tuple(range(2, 2 * len(window) + 1, 2)))
    return jnp.stack(_shifted(x, window, strides)).mean(axis=0)


def _channel_last(spec: Sequence[int]) -> tuple[int, ...]:
    """The permutation to [batch, ..., channel] of a (batch, channel, ...) specification."""
    return (spec[0], *spec[2:], spec[1])


def _shifted(x: jax.Array, window: Sequence[int], strides: Sequence[int], dilation: Sequence[int] | None = None):
    """[x at each offset of the window, for all windows that fit], the window's last axis fastest."""
    dilation = dilation or (1,) * len(window)
    reach = [(size - 1) * step for size, step in zip(window, dilation, strict=True)]
    ends = [size - far for size, far in zip(x.shape[1:-1], reach, strict=True)]
    offsets = product(*[range(0, far + 1, step) for far, step in zip(reach, dilation, strict=True)])

    def cut(offset):
        limits = [start + end for start, end in zip(offset, ends, strict=True)]
        return lax.slice(x, (0, *offset, 0), (x.shape[0], *limits, x.shape[-1]), (1, *strides, 1))

    return [cut(offset) for offset in offsets]


def _tiled(x: jax.Array, window: Sequence[int]) -> jax.Array:
    """[batch, place, within the window, place, within, ..., channel], without the rest that fills no window."""
    whole = [size - size % width for size, width in zip(x.shape[1:-1], window, strict=True)]
    x = lax.slice(x, (0,) * x.ndim, (x.shape[0], *whole, x.shape[-1]))
    split = [part for size, width in zip(whole, window, strict=True) for part in (size // width, width)]
    return x.reshape(x.shape[0], *split, x.shape[-1])


def _grouped(matmul: Callable, num_groups: int) -> Callable:
    """The same on each group of channels: x [..., group * in], kernel [..., in, group * out] -> [..., group * out]."""

    def grouped(x, kernel):
        split = lambda array: array.reshape(*array.shape[:-1], num_groups, -1)
        y = jax.vmap(matmul, in_axes=-2, out_axes=-2)(split(x), split(kernel))
        return y.reshape(*y.shape[:-2], -1)

    return grouped


def _in_pieces(matmul: Callable, num_bytes: int) -> Callable:
    """The same, on a CPU a few examples at a time if the batch has `num_bytes` of patches and that is much."""

    def pieces(x, kernel):
        fits = [n for n in range(1, len(x)) if len(x) % n == 0 and n * num_bytes <= len(x) * PIECE]
        x = x.reshape(-1, max(fits, default=1), *x.shape[1:])
        y = lax.map(lambda piece: jax.checkpoint(matmul, prevent_cse=False)(piece, kernel), x)
        return y.reshape(-1, *y.shape[2:])

    if num_bytes <= LARGE:
        return matmul
    return lambda x, kernel: lax.platform_dependent(x, kernel, cpu=pieces, default=matmul)
