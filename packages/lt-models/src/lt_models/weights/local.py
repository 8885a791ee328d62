"""A file of weights into a backbone, with a report of what fitted."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import nn

from lt_models.errors import WeightsError
from lt_models.first_layer import adapted_weight
from lt_models.weights.layouts import LAYOUTS, has_layout, to_timm
from lt_models.weights.positions import resample_positions
from lt_models.weights.reading import read_state

logger = logging.getLogger(__name__)

KeyMap = Callable[[str], "str | None"] | Mapping[str, str]
"""From a key of the file to the backbone's name; None, or no entry, leaves a tensor out."""

MIN_MATCHED = 0.5
"""Share of the backbone's tensors below which the file belongs to another architecture."""

POSITIONS = ("pos_embed", "encoder.pos_embedding")
"""Position embeddings in timm's and torchvision's vision transformers."""

COUNTER = "num_batches_tracked"
"""No weight: batch norm counts its steps, and not every file keeps the count."""


@attrs.frozen
class LoadReport:
    """What became of the tensors of a file.

    Attributes:
        path: The file.
        layout: Whose names its keys have.
        matched: Names of the backbone's tensors that were loaded.
        missing: Names of the backbone's tensors that the file does not have; they keep their values.
        unexpected: Keys of the file, under the backbone's names where there is a map, that it has no tensor for.
        mismatched: Names of tensors of another shape, with both shapes; they keep their values.
    """

    path: Path
    layout: str
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[str, ...]


def load_weights(
    backbone: nn.Module, path: str | os.PathLike[str], *, model: str = "the backbone", key_map: KeyMap | None = None
) -> LoadReport:
    """Load a local file into a backbone, whoever named its keys: Meta, timm, torchvision, transformers or we.

    The first convolution is adapted to the backbone's channels, position embeddings to its image size.

    Args:
        backbone: `classifier.backbone`, or any other module; filled in place, unchanged when this raises.
        path: A `.pt`, `.pth`, `.ckpt`, `.bin` or `.safetensors` file of tensors by name. Nothing in it is executed.
        model: The backbone's full name, for messages.
        key_map: For files of other layouts: the backbone's name for each key of the file, as a function or a mapping;
            None, or no entry, leaves a tensor out.

    Returns:
        What matched and what did not; it is logged too.

    Raises:
        WeightsError: The file cannot be read, or fits less than half of the backbone's tensors.
    """
    path = Path(path).expanduser()
    state = read_state(path)
    target = backbone.state_dict()
    layout, named = _mapped(state, key_map, path) if key_map is not None else _recognised(state, backbone, target)
    fitted, mismatched = {}, []
    for name in (name for name in target if name in named):
        tensor = _fitted(named[name], name, backbone, target[name])
        if tensor is None:
            given, wanted = tuple(named[name].shape), tuple(target[name].shape)
            mismatched.append(f"{name} (file {given}, model {wanted})")
        else:
            fitted[name] = tensor
    report = LoadReport(
        path=path,
        layout=layout,
        matched=tuple(fitted),
        missing=tuple(name for name in target if name not in named and not name.endswith(COUNTER)),
        unexpected=tuple(name for name in named if name not in target),
        mismatched=tuple(mismatched),
    )
    weights = [name for name in target if not name.endswith(COUNTER)]
    if sum(name in fitted for name in weights) < MIN_MATCHED * len(weights):
        raise WeightsError(_misfit(report, len(weights), model), path=path)
    backbone.load_state_dict(fitted, strict=False)
    _log(report, model)
    return report


def load_published(backbone: nn.Module, path: Path, model: str) -> None:
    """Load a model's own published file: every tensor must come from it.

    Raises:
        WeightsError: Something in the backbone would stay random.
    """
    report = load_weights(backbone, path, model=model)
    absent = [*report.missing, *report.mismatched]
    if absent:
        raise WeightsError(f"{path}: is not the published file of {model}; it lacks {_some(absent)}", path=path)


def _mapped(state: Mapping[str, torch.Tensor], key_map: KeyMap, path: Path) -> tuple[str, dict[str, torch.Tensor]]:
    named: dict[str, torch.Tensor] = {}
    for key, tensor in state.items():
        name = key_map.get(key) if isinstance(key_map, Mapping) else key_map(key)
        if name in named:
            raise WeightsError(f"{path}: key_map gives {name} to more than one key, the last being {key}", path=path)
        if name is not None:
            named[name] = tensor
    return "your key map's", named


def _recognised(
    state: Mapping[str, torch.Tensor], backbone: nn.Module, target: Mapping[str, torch.Tensor]
) -> tuple[str, dict[str, torch.Tensor]]:
    """Of the layouts that the keys show, and the backbone's own, the one that fits most tensors."""
    candidates = [(layout.name, to_timm(layout, state)) for layout in LAYOUTS if has_layout(layout, state)]
    candidates.append(("the model's own", dict(state)))

    def fitting(candidate: tuple[str, dict[str, torch.Tensor]]) -> int:
        _, named = candidate
        return sum(
            name in named and _fitted(named[name], name, backbone, wanted) is not None
            for name, wanted in target.items()
        )

    return max(candidates, key=fitting)


def _fitted(tensor: torch.Tensor, name: str, backbone: nn.Module, wanted: torch.Tensor) -> torch.Tensor | None:
    """A tensor in the shape that the backbone wants, None where it cannot have it."""
    if tensor.shape == wanted.shape:
        return tensor
    if _is_input(name, backbone) and tensor.ndim == 4 and tensor.shape[1] == 3:
        tensor = adapted_weight(tensor, wanted.shape[1])
    elif name in POSITIONS and tensor.ndim == 3:
        grid, prefix = _positions(backbone, wanted.shape[1])
        tensor = resample_positions(tensor, grid, prefix) if grid else tensor  # type: ignore[assignment]
    elif _without_ones(tensor) == _without_ones(wanted):
        # The same matrix as a linear layer and as a convolution of one pixel.
        tensor = tensor.reshape(wanted.shape)
    return tensor if tensor is not None and tensor.shape == wanted.shape else None


def _is_input(name: str, backbone: nn.Module) -> bool:
    first = next((path for path, module in backbone.named_modules() if isinstance(module, nn.Conv2d)), None)
    return first is not None and name == f"{first}.weight"


def _positions(backbone: Any, count: int) -> tuple[tuple[int, int] | None, int]:
    """Grid of patches of a vision transformer, and how many of its positions are not of patches."""
    grid = getattr(getattr(backbone, "patch_embed", None), "grid_size", None)
    if grid is None and hasattr(backbone, "image_size") and hasattr(backbone, "patch_size"):
        side = backbone.image_size // backbone.patch_size
        grid = (side, side)
    if grid is None:
        return None, 0
    return (int(grid[0]), int(grid[1])), count - int(grid[0]) * int(grid[1])


def _without_ones(tensor: torch.Tensor) -> list[int]:
    shape = list(tensor.shape)
    while shape and shape[-1] == 1:
        shape.pop()
    return shape


def _misfit(report: LoadReport, count: int, model: str) -> str:
    return "\n".join(
        [
            f"{report.path}: holds weights of another architecture than {model}: "
            f"only {len(report.matched)} of its {count} tensors fit (the file's keys were taken for {report.layout})",
            f"  the file lacks: {_some(report.missing)}",
            f"  of another shape: {_some(report.mismatched)}",
            f"  only in the file: {_some(report.unexpected)}",
        ]
    )


def _log(report: LoadReport, model: str) -> None:
    logger.info("%s: %d tensors of %s loaded (keys: %s)", model, len(report.matched), report.path, report.layout)
    if report.missing or report.mismatched:
        logger.warning(
            "%s: not in %s, and left as they were: %s; of another shape: %s",
            *(model, report.path, _some(report.missing), _some(report.mismatched)),
        )
    if report.unexpected:
        logger.info("%s: in %s, but not used: %s", model, report.path, _some(report.unexpected))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(names[:10]) + more if names else "nothing"
