"""How a backbone's tensors lie best in memory."""

from __future__ import annotations

import torch
from torch import nn

CONVOLUTIONAL_SHARE = 0.25
"""Of a model's weight layers. ConvNeXt, one convolution and two linear layers a block, is above; transformers with a
few convolutions as stem are below."""

WITHOUT_CHANNELS_LAST = frozenset({"mps"})
"""Types of devices where PyTorch computes wrong gradients of batch normalisation and pooling in this format, or fails:
https://github.com/pytorch/pytorch/issues/175189, https://github.com/pytorch/pytorch/issues/175190."""


def preferred_memory_format(module: nn.Module) -> torch.memory_format:
    """`torch.channels_last` for convolutional networks, whose kernels are faster so, else `torch.contiguous_format`."""
    weighty = [layer for layer in module.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    convolutions = sum(isinstance(layer, nn.Conv2d) and not _cuts_patches(layer) for layer in weighty)
    return torch.channels_last if convolutions >= CONVOLUTIONAL_SHARE * len(weighty) else torch.contiguous_format


@torch.no_grad()
def lay_channels_last(module: nn.Module) -> None:
    """What `module.to(memory_format=torch.channels_last)` does, in the memory that the weights have.

    Fresh memory for every weight would make building a ResNet a fifth slower.
    """
    weights = [parameter for parameter in module.parameters() if parameter.ndim == 4]
    own = [weight for weight in weights if weight.is_contiguous() and _owns_its_memory(weight)]
    spare: dict[tuple[torch.dtype, torch.device], torch.Tensor] = {}
    for weight in sorted(own, key=torch.numel, reverse=True):
        kind = (weight.dtype, weight.device)
        spare.setdefault(kind, torch.empty(weight.numel(), dtype=weight.dtype, device=weight.device))
        out, into, height, width = weight.shape
        last = spare[kind][: weight.numel()].view(out, height, width, into).copy_(weight.permute(0, 2, 3, 1))
        weight.data = weight.data.view(-1).copy_(last.view(-1)).view(last.shape).permute(0, 3, 1, 2)
    lay_in(module, torch.channels_last)


@torch.no_grad()
def lay_in(module: nn.Module, memory_format: torch.memory_format) -> None:
    """What `module.to(memory_format=...)` does to weights of four dimensions; others have no such format."""
    for weight in module.parameters():
        if weight.ndim == 4:
            weight.data = weight.data.contiguous(memory_format=memory_format)


def _owns_its_memory(tensor: torch.Tensor) -> bool:
    return tensor.untyped_storage().nbytes() == tensor.nbytes


def _cuts_patches(layer: nn.Conv2d) -> bool:
    return layer.kernel_size == layer.stride and max(layer.stride) > 1
