"""Which parameters are decayed, and how fast each layer learns."""

from __future__ import annotations

from typing import Any

from torch import nn

from lt_models.layers import layers


def param_groups(model: nn.Module, *, weight_decay: float, layer_decay: float | None = None) -> list[dict[str, Any]]:
    """Trainable parameters for an optimiser: matrices decay; biases, norms and tokens do not.

    Vectors are norms' scales and biases; what else a timm model exempts (position embeddings, tokens) it names
    itself in `no_weight_decay`.

    Args:
        model: Anything; parameters that need no gradient are left out.
        weight_decay: AdamW's decoupled weight decay, at least 0.
        layer_decay: Factor of the learning rate from each layer of the backbone to the one before it, in (0, 1], as in
            BEiT (arXiv:2106.08254); needs a model with a `backbone`, as classifiers have. None treats all layers alike.

    Returns:
        Without `layer_decay`, two groups: decayed and spared. With it, at most two for each layer, whose `lr_scale` is
        the factor of the learning rate: 1 for the head, `layer_decay` for the last block, and so on to the stem.

    Raises:
        ValueError: `layer_decay` is not in (0, 1].
    """
    exempt = {
        f"{prefix}.{name}" if prefix else name
        for prefix, module in model.named_modules()
        if callable(getattr(module, "no_weight_decay", None))
        for name in module.no_weight_decay()
    }
    trainable = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    spared = {name for name, parameter in trainable if parameter.ndim <= 1 or name in exempt}
    if layer_decay is None:
        return [
            {"params": [p for name, p in trainable if name not in spared], "weight_decay": weight_decay},
            {"params": [p for name, p in trainable if name in spared], "weight_decay": 0.0},
        ]
    if not 0.0 < layer_decay <= 1.0:
        raise ValueError(f"layer_decay must be in (0, 1], got {layer_decay}")
    depth = _distance_from_head(model)
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in trainable:
        groups.setdefault((depth.get(name, 0), name in spared), []).append(parameter)
    return [
        {"params": groups[key], "weight_decay": 0.0 if key[1] else weight_decay, "lr_scale": layer_decay ** key[0]}
        for key in sorted(groups)
    ]


def _distance_from_head(model: nn.Module) -> dict[str, int]:
    """How many layers before the head each parameter of the backbone is: 1 for those of the last block."""
    backbone = getattr(model, "backbone", None)
    if not isinstance(backbone, nn.Module):
        return {}
    rows = layers(backbone)
    return {f"backbone.{name}": len(rows) - row for row, names in enumerate(rows) for name in names}
