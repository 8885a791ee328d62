"""What a step learns from, on its way to the device."""

from __future__ import annotations

import torch


def to_device(tensor: torch.Tensor, device: torch.device, dtype: torch.dtype | None = None) -> torch.Tensor:
    """A tensor on a device, to which the host does not wait only where that is safe, on CUDA.

    On MPS PyTorch reads memory that may have been freed by then, and what arrives is wrong without an error
    (https://github.com/pytorch/pytorch/issues/189690).

    Args:
        tensor: On any device.
        device: Where it is wanted.
        dtype: In which type; None leaves it as it is.
    """
    return tensor.to(device, tensor.dtype if dtype is None else dtype, non_blocking=device.type == "cuda")
