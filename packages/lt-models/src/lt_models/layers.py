"""A backbone in order, from its input to its features."""

from __future__ import annotations

from typing import Any

from torch import nn

PARTS = ("encoder", "layers", "blocks", "stages")
"""Attributes under which modules that are no containers themselves keep one."""


def layers(backbone: nn.Module) -> list[list[str]]:
    """Names of the parameters of each layer: the stem, then one block after another.

    What follows the last block, such as the final norm, belongs to it. Timm's modules know their own order
    (`group_matcher`); others are walked as they are written down.

    Returns:
        Every parameter of the backbone exactly once; at least one layer.
    """
    matcher = getattr(backbone, "group_matcher", None)
    found = _by_matcher(backbone, matcher()) if matcher else []
    rows = found if len(found) > 1 else _by_walk(backbone)
    vectors = {name for name, parameter in backbone.named_parameters() if parameter.ndim <= 1}
    if len(rows) > 1 and vectors.issuperset(rows[-1]):
        rows[-2:] = [rows[-2] + rows[-1]]
    return rows


def _by_matcher(backbone: nn.Module, matcher: Any) -> list[list[str]]:
    from timm.models import group_parameters

    groups: dict[int, list[str]] = group_parameters(backbone, matcher)
    return [groups[layer] for layer in sorted(groups)]


def _by_walk(backbone: nn.Module) -> list[list[str]]:
    names = [name for name, _ in backbone.named_parameters()]
    units: list[tuple[str, ...]] = []
    _collect(backbone, "", units)
    owner = {name: index for index, unit in enumerate(units) for name in names if _inside(name, unit)}
    order: list[list[str]] = [[] for _ in units]
    # Parameters that belong to no part, such as tokens and positions, are added before the first block.
    for name in names:
        order[owner.get(name, 0)].append(name)
    return [unit for unit in order if unit] or [names]


def _collect(module: nn.Module, prefix: str, units: list[tuple[str, ...]]) -> None:
    """Append the paths of the modules of each layer, in order; a norm by itself goes with the layer before it."""
    for name, child in module.named_children():
        path = f"{prefix}{name}"
        if _opens(name, child):
            _collect(child, f"{path}.", units)
        elif units and _is_small(child):
            units[-1] = (*units[-1], path)
        else:
            units.append((path,))


def _opens(name: str, module: nn.Module) -> bool:
    """Whether a module is a row of layers, not one layer."""
    from torchvision.ops import MLP
    from torchvision.ops.misc import ConvNormActivation

    if isinstance(module, (ConvNormActivation, MLP)):
        return False
    if isinstance(module, (nn.Sequential, nn.ModuleList, nn.ModuleDict)):
        return sum(not _is_small(child) for child in module.children()) > 1
    return name == "encoder" or any(isinstance(getattr(module, part, None), nn.ModuleList) for part in PARTS)


def _is_small(module: nn.Module) -> bool:
    return all(parameter.ndim <= 1 for parameter in module.parameters())


def _inside(name: str, unit: tuple[str, ...]) -> bool:
    return any(name == path or name.startswith(f"{path}.") for path in unit)
