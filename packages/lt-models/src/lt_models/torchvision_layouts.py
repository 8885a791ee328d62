"""The layouts in which torchvision publishes weights, where they are not those of its modules."""

from __future__ import annotations

import re

import torch


def published_layout(model: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A published state by the names of the module without auxiliary heads."""
    if model.startswith("densenet"):
        return {re.sub(r"(denselayer\d+\.(?:norm|conv))\.(\d\.)", r"\1\2", key): value for key, value in state.items()}
    if model in ("googlenet", "inception_v3"):
        return {key: value for key, value in state.items() if not re.match(r"aux\d|AuxLogits\.", key)}
    return state
