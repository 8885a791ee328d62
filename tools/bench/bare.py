"""The fastest training loop that we can write in 80 lines of PyTorch and timm; what ours is measured against.

It does the same maths as a run of ours: AdamW without weight decay on vectors, the gradient's norm clipped, warm-up and
cosine. Everything that makes it fast is on: fused AdamW, channels-last for convolutional networks, on GPUs bfloat16 and
cuDNN's search for the fastest algorithms, and it never waits for the device. It checks, logs and saves nothing.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

import timm
import torch
from torch import nn
from torch.nn import functional

CLASSES, CLIP_NORM, LR, WEIGHT_DECAY, WARM_UP = 10, 3.0, 3e-4, 1e-4, 0.1


def best_device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def build(name: str, device: torch.device) -> nn.Module:
    """A timm model with random weights, on the device, laid out as its kernels like it."""
    model: nn.Module = timm.create_model(name, num_classes=CLASSES)
    transformer = any(isinstance(module, nn.LayerNorm) for module in model.modules())
    layout = torch.contiguous_format if transformer else torch.channels_last
    return model.to(device, memory_format=layout).train()  # type: ignore[call-overload, no-any-return]  # no overload has both


def synthetic(batch: int, side: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and labels of one batch, on the device."""
    images = torch.randn(batch, 3, side, side, device=device)
    return images.contiguous(memory_format=torch.channels_last), torch.arange(batch, device=device) % CLASSES


def lr_at(step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine."""
    warm_up = round(WARM_UP * steps)
    if step < warm_up:
        return LR * (step + 1) / warm_up
    return LR * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / (steps - warm_up)))


def train(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, steps: int) -> Iterator[None]:
    """Take one step at each `next`."""
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    parameters = [*matrices, *vectors]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LR, fused=True)
    on_gpu = images.is_cuda
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = lr_at(step, steps)
        # For the length of a step: what else runs in this process keeps its own settings.
        with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=True):
            with torch.autocast("cuda", torch.bfloat16) if on_gpu else contextlib.nullcontext():
                loss = functional.cross_entropy(model(images), labels)
            loss.backward()  # type: ignore[no-untyped-call]  # torch gives it no types
        nn.utils.clip_grad_norm_(parameters, CLIP_NORM, foreach=True)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        yield
