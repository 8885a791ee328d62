"""Which parameters are decayed."""

from __future__ import annotations

from typing import Any

from torch import nn


def param_groups(model: nn.Module, *, weight_decay: float) -> list[dict[str, Any]]:
    """Trainable parameters for an optimiser: matrices decay; biases, norms and tokens do not.

    Vectors are norms' scales and biases; what else a timm model exempts (position embeddings, tokens) it names
    itself in `no_weight_decay`.

    Args:
        model: Anything; parameters that need no gradient are left out.
        weight_decay: AdamW's decoupled weight decay, at least 0.
    """
    exempt = {
        f"{prefix}.{name}" if prefix else name
        for prefix, module in model.named_modules()
        if callable(getattr(module, "no_weight_decay", None))
        for name in module.no_weight_decay()
    }
    trainable = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    spared = {name for name, parameter in trainable if parameter.ndim <= 1 or name in exempt}
    return [
        {"params": [p for name, p in trainable if name not in spared], "weight_decay": weight_decay},
        {"params": [p for name, p in trainable if name in spared], "weight_decay": 0.0},
    ]
