"""The layouts in which torchvision publishes weights, where they are not those of its modules."""

from __future__ import annotations

import re

import torch

from lt_models.weights.layouts import TORCHVISION_DENSENET, to_timm


def published_layout(model: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A published state by the names of the module without auxiliary heads."""
    if model.startswith("densenet"):
        return to_timm(TORCHVISION_DENSENET, state)  # timm and torchvision name DenseNets alike
    if model in ("googlenet", "inception_v3"):
        return {key: value for key, value in state.items() if not re.match(r"aux\d|AuxLogits\.", key)}
    return state
