"""How a backbone's tensors lie best in memory."""

from __future__ import annotations

import torch
from torch import nn

CONVOLUTIONAL_SHARE = 0.25
"""Of a model's weight layers. ConvNeXt, one convolution and two linear layers a block, is above; transformers with a
few convolutions as stem are below."""


def preferred_memory_format(module: nn.Module) -> torch.memory_format:
    """`torch.channels_last` for convolutional networks, whose kernels are faster so, else `torch.contiguous_format`."""
    weighty = [module for module in module.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    convolutions = sum(isinstance(module, nn.Conv2d) and not _cuts_patches(module) for module in weighty)
    return torch.channels_last if convolutions >= CONVOLUTIONAL_SHARE * len(weighty) else torch.contiguous_format


def _cuts_patches(layer: nn.Conv2d) -> bool:
    return layer.kernel_size == layer.stride and max(layer.stride) > 1
