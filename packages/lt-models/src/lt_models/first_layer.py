"""The first convolution, for images that are not RGB."""

from __future__ import annotations

import math

import torch
from torch import nn


def adapt_first_convolution(module: nn.Module, num_channels: int) -> None:
    """Replace the first convolution of a module by one for another number of channels, with its weights adapted."""
    path, first = next((path, layer) for path, layer in module.named_modules() if isinstance(layer, nn.Conv2d))
    parent, _, leaf = path.rpartition(".")
    adapted = nn.utils.skip_init(  # type: ignore[no-untyped-call]  # torch gives it no types
        nn.Conv2d,
        num_channels,
        first.out_channels,
        first.kernel_size,
        stride=first.stride,
        padding=first.padding,
        dilation=first.dilation,
        bias=first.bias is not None,
        padding_mode=first.padding_mode,
        device=first.weight.device,
        dtype=first.weight.dtype,
    )
    adapted.weight = nn.Parameter(adapted_weight(first.weight.detach(), num_channels))
    adapted.bias = first.bias
    setattr(module.get_submodule(parent), leaf, adapted)


def adapted_weight(weight: torch.Tensor, num_channels: int) -> torch.Tensor:
    """Weights for images of any number of channels from those for RGB, by timm's rule (`timm.models.adapt_input_conv`).

    One channel stands for all three, so weights are summed; more repeat red, green and blue, and are scaled by 3 / n
    so that the sum over channels, and with it the size of activations, stays. Those for grey images are repeated
    likewise, and scaled by 1 / n.

    Args:
        weight: Float of shape (out, 3, height, width), or (out, 1, height, width).
        num_channels: n, at least 1.

    Returns:
        Float of shape (out, n, height, width).
    """
    if num_channels == 1:
        return weight.sum(dim=1, keepdim=True)
    given = weight.shape[1]
    repeated = weight.repeat(1, math.ceil(num_channels / given), 1, 1)[:, :num_channels]
    return repeated * (given / num_channels)
