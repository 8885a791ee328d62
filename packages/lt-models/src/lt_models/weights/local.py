"""A file of weights into a backbone, with a report of what fitted."""

from __future__ import annotations

import logging
import os
import sys
import warnings
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

ADAPTABLE_CHANNELS = (1, 3)
"""Channels of a first convolution from which those for other images follow."""

POSITIONS = ("pos_embed", "encoder.pos_embedding")
"""Position embeddings in timm's and torchvision's vision transformers."""

COUNTER = "num_batches_tracked"
"""No weight: batch norm counts its steps, and not every file keeps the count."""


@attrs.frozen
class LoadReport:
    """What became of the tensors of a file.

    Attributes:
        source: The file, or what the tensors are.
        layout: Whose names its keys have.
        matched: Names of the backbone's tensors that were loaded.
        missing: Names of the backbone's tensors that the file does not have; they keep their values.
        unexpected: Keys of the file, under the backbone's names where there is a map, that it has no tensor for.
        mismatched: Names of tensors of another shape, with both shapes; they keep their values.
    """

    source: str
    layout: str
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[str, ...]


def load_weights(
    backbone: nn.Module,
    weights: str | os.PathLike[str] | Mapping[str, torch.Tensor],
    *,
    model: str = "the backbone",
    key_map: KeyMap | None = None,
) -> LoadReport:
    """Load a local file into a backbone, whoever named its keys: Meta, timm, torchvision, transformers or we.

    The first convolution is adapted from grey or RGB to the backbone's channels, position embeddings and tables of
    relative positions to its image size.

    Args:
        backbone: `classifier.backbone`, or any other module; filled in place, unchanged when this raises.
        weights: A `.pt`, `.pth`, `.ckpt`, `.bin` or `.safetensors` file of tensors by name, in which nothing is
            executed; or such tensors.
        model: The backbone's full name, for messages.
        key_map: For files of other layouts: the backbone's name for each key of the file, as a function or a mapping;
            None, or no entry, leaves a tensor out.

    Returns:
        What matched and what did not; it is logged too.

    Raises:
        WeightsError: The file cannot be read, fits less than half of the backbone's tensors, is for another number of
            channels than can be adapted, or holds numbers that are not finite.
    """
    path = None if isinstance(weights, Mapping) else Path(weights).expanduser()
    state = weights if isinstance(weights, Mapping) else read_state(weights)
    source = "the given tensors" if path is None else str(path)
    target = backbone.state_dict()
    if key_map is not None:
        layout, named = _mapped(state, key_map, source)
    else:
        layout, named = _recognised(state, backbone, target)
    fitted, mismatched = {}, []
    for name in (name for name in target if name in named):
        tensor = _fitted(named[name], name, backbone, target[name])
        if tensor is None:
            given, wanted = tuple(named[name].shape), tuple(target[name].shape)
            mismatched.append(f"{name} (file {given}, model {wanted})")
        else:
            fitted[name] = tensor
    report = LoadReport(
        source=source,
        layout=layout,
        matched=tuple(fitted),
        missing=tuple(name for name in target if name not in named and not name.endswith(COUNTER)),
        unexpected=tuple(name for name in named if name not in target),
        mismatched=tuple(mismatched),
    )
    own = [name for name in target if not name.endswith(COUNTER)]
    if sum(name in fitted for name in own) < MIN_MATCHED * len(own):
        raise WeightsError(_misfit(report, target, model), path=path)
    _check_usable(fitted, named, backbone, source, path)
    backbone.load_state_dict(fitted, strict=False)
    _log(report, model)
    return report


def load_all(backbone: nn.Module, path: str | os.PathLike[str], model: str) -> None:
    """Load a local file that must fill the backbone: no tensor stays random.

    Raises:
        WeightsError: As `load_weights`, and where the file lacks a tensor or has it in another shape; the backbone is
            then filled in part.
    """
    report = load_weights(backbone, path, model=model)
    absent = [*report.missing, *report.mismatched]
    if absent:
        count = len(absent) + sum(not name.endswith(COUNTER) for name in report.matched)
        raise WeightsError(
            f"{report.source}: lacks {len(absent)} of the {count} tensors of {model}, which would stay random: "
            f"{_some(absent)}. Give a file that has them all; to start from a part of them, load it with "
            "lt_models.load_weights, save the backbone's state_dict, and give that file",
            path=Path(path).expanduser(),
        )


def load_published(backbone: nn.Module, path: Path, model: str) -> None:
    """Load a model's own published file: every tensor must come from it.

    Raises:
        WeightsError: Something in the backbone would stay random.
    """
    report = load_weights(backbone, path, model=model)
    absent = [*report.missing, *report.mismatched]
    if absent:
        raise WeightsError(f"{path}: is not the published file of {model}; it lacks {_some(absent)}", path=path)


def _mapped(state: Mapping[str, torch.Tensor], key_map: KeyMap, source: str) -> tuple[str, dict[str, torch.Tensor]]:
    named: dict[str, torch.Tensor] = {}
    for key, tensor in state.items():
        name = key_map.get(key) if isinstance(key_map, Mapping) else key_map(key)
        if name in named:
            raise WeightsError(f"{source}: key_map gives {name} to more than one key, the last being {key}")
        if name is not None:
            named[name] = tensor
    return "key_map", named


def _recognised(
    state: Mapping[str, torch.Tensor], backbone: nn.Module, target: Mapping[str, torch.Tensor]
) -> tuple[str, dict[str, torch.Tensor]]:
    """Of the layouts that the keys show, and the backbone's own, the one that fits most tensors."""
    candidates = [(layout.name, to_timm(layout, state)) for layout in LAYOUTS if has_layout(layout, state)]
    candidates.append(("the model's own", dict(state)))
    converted = _converted_by_timm(state, backbone)
    if converted is not None:
        candidates.append(("the model's own, converted by timm", converted))

    def fitting(candidate: tuple[str, dict[str, torch.Tensor]]) -> int:
        _, named = candidate
        return sum(
            name in named and _fitted(named[name], name, backbone, wanted) is not None
            for name, wanted in target.items()
        )

    return max(candidates, key=fitting)


def _converted_by_timm(state: Mapping[str, torch.Tensor], backbone: nn.Module) -> dict[str, torch.Tensor] | None:
    """What timm makes of the tensors for one of its models: tables of relative positions for another image size."""
    module = type(backbone).__module__
    convert = getattr(sys.modules[module], "checkpoint_filter_fn", None) if module.startswith("timm.models.") else None
    if convert is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of PyTorch, about how timm resamples
            converted = dict(convert(dict(state), backbone))
    # It is made for timm's own files; what another file breaks in it is no concern of ours.
    except Exception:
        return None
    positions = {name: state[name] for name in POSITIONS if name in state}
    return {**{name: tensor for name, tensor in converted.items() if torch.is_tensor(tensor)}, **positions}


def _fitted(tensor: torch.Tensor, name: str, backbone: nn.Module, wanted: torch.Tensor) -> torch.Tensor | None:
    """A tensor in the shape that the backbone wants, None where it cannot have it."""
    if name in POSITIONS and tensor.ndim == 3:
        grid, prefix = _positions(backbone, wanted.shape[1])
        # The same number of patches may lie in another grid.
        if grid and (grid[0] != grid[1] or tensor.shape != wanted.shape):
            resampled = resample_positions(tensor, grid, prefix)
            tensor = tensor if resampled is None else resampled
    elif tensor.shape == wanted.shape:
        return tensor
    elif _is_input(name, backbone) and tensor.ndim == 4 and tensor.shape[1] in ADAPTABLE_CHANNELS:
        tensor = adapted_weight(tensor, wanted.shape[1])
    elif _without_ones(tensor) == _without_ones(wanted):
        # The same matrix as a linear layer and as a convolution of one pixel.
        tensor = tensor.reshape(wanted.shape)
    return tensor if tensor.shape == wanted.shape else None


def _check_usable(
    fitted: Mapping[str, torch.Tensor],
    named: Mapping[str, torch.Tensor],
    backbone: nn.Module,
    source: str,
    path: Path | None,
) -> None:
    """Refuse what would train from a random first layer, or from numbers that are none."""
    first = next((name for name in named if _is_input(name, backbone) and name not in fitted), None)
    if first is not None and named[first].ndim == 4:
        given, wanted = named[first].shape[1], backbone.state_dict()[first].shape[1]
        raise WeightsError(
            f"{source}: is for images of {given} channels and cannot be adapted to {wanted}; grey and RGB can",
            path=path,
        )
    broken = [name for name, tensor in fitted.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise WeightsError(f"{source}: has numbers that are not finite in {_some(broken)}", path=path)


def _is_input(name: str, backbone: nn.Module) -> bool:
    first = next((path for path, module in backbone.named_modules() if isinstance(module, nn.Conv2d)), None)
    return first is not None and name == f"{first}.weight"


def _positions(backbone: Any, count: int) -> tuple[tuple[int, int] | None, int]:
    """Grid of patches of a vision transformer, and how many of its positions are not of patches."""
    grid = getattr(getattr(backbone, "patch_embed", backbone), "grid_size", None)
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


def _misfit(report: LoadReport, target: Mapping[str, torch.Tensor], model: str) -> str:
    count = sum(not name.endswith(COUNTER) for name in target)
    fitting = sum(not name.endswith(COUNTER) for name in report.matched)
    return "\n".join(
        [
            f"{report.source}: holds weights of another architecture than {model}: "
            f"only {fitting} of its {count} tensors fit (its keys were taken for those of {report.layout})",
            f"  the file lacks: {_some(report.missing)}",
            f"  of another shape: {_some(report.mismatched)}",
            f"  only in the file: {_some(report.unexpected)}",
        ]
    )


def _log(report: LoadReport, model: str) -> None:
    logger.info("%s: %d tensors loaded from %s (keys: %s)", model, len(report.matched), report.source, report.layout)
    if report.missing or report.mismatched:
        left = len(report.missing) + len(report.mismatched)
        logger.warning(
            "%s: %d tensors are not in %s and were left as they were: %s; of another shape: %s",
            *(model, left, report.source, _some(report.missing), _some(report.mismatched)),
        )
    if report.unexpected:
        logger.info("%s: in %s, but not used: %s", model, report.source, _some(report.unexpected))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(names[:10]) + more if names else "nothing"
