"""The arguments of `export_onnx`, checked before the work of minutes."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from lt_data import Preprocessing, check_writable, is_whole
from lt_export.errors import ExportError, MissingPackageError

Precision = Literal["auto", "fp32", "fp16", "int8"]

ENDING = ".onnx"

LEAST_OPSET = 18
"""From 18 on PyTorch's exporter writes operators as they are, and ONNX resizes with antialiasing."""

MAX_INPUT_VALUES = 2**28
"""Of the largest batch that an export runs: 1 GiB in float32, and what is between the layers is many times that."""

DEFAULT_DROP = 1.0
"""`max_accuracy_drop`, in points."""

DECIDED = frozenset(
    {"model", "args", "dynamo", "input_names", "output_names", "dynamic_shapes", "opset_version", "verbose", "f"}
)
"""Arguments of `torch.onnx.export` that are not free."""


def check_numbers(
    precision: object, batch_size: object, opset_version: object, max_accuracy_drop: Any, format_args: object
) -> None:
    """Refuse values that are no values of these arguments.

    Raises:
        ExportError: One is of another type or out of range.
    """
    if precision not in get_args(Precision):
        raise ExportError(f"precision must be one of {', '.join(get_args(Precision))}, got {precision!r}")
    check_whole("batch_size", batch_size, least=1)
    if opset_version is not None:
        check_whole("opset_version", opset_version, least=LEAST_OPSET)
    is_number = isinstance(max_accuracy_drop, (int, float)) and not isinstance(max_accuracy_drop, bool)
    if not is_number or not 0.0 <= max_accuracy_drop <= 100.0:
        raise ExportError(f"max_accuracy_drop must be from 0 to 100 points, got {max_accuracy_drop!r}")
    if not isinstance(format_args, Mapping):
        raise ExportError(f"format_args must map arguments of torch.onnx.export to values, got {format_args!r}")
    decided = sorted(str(name) for name in format_args if name in DECIDED)
    if decided:
        raise ExportError(f"format_args: {', '.join(decided)} is not free, it follows from the other arguments")


def check_whole(name: str, given: object, *, least: int) -> None:
    """Refuse what is no whole number of at least `least`.

    Raises:
        ExportError: It is none.
    """
    if not is_whole(given) or given < least:
        raise ExportError(f"{name} must be an integer of at least {least}, got {given!r}")


def check_together(
    precision: str,
    *,
    verify: bool,
    images: object,
    labels: object,
    max_accuracy_drop: float,
) -> None:
    """Refuse arguments that would do nothing beside the others.

    Raises:
        ExportError: There is one; says which, and what to do.
    """
    if images is None and labels is not None:
        raise ExportError("`labels` are those of `images`; give these too")
    if images is None and precision == "int8":
        raise ExportError(
            'precision="int8" needs `images`, some hundreds of real ones, to find the ranges of activations'
        )
    if precision == "int8":
        return
    if labels is not None:
        raise ExportError(f'`labels` measure the accuracy of int8; precision="{precision}" has no use for them')
    if max_accuracy_drop != DEFAULT_DROP:
        raise ExportError(f'max_accuracy_drop is for int8; precision="{precision}" is held to the limits of `verify`')
    if images is not None and precision == "fp32" and not verify:
        raise ExportError("`images` verify or quantise a model; fp32 without `verify` has no use for them")


def check_size(spec: Preprocessing, batch_size: int) -> None:
    """Refuse input that an export could not hold in memory.

    Args:
        spec: Channels and size of an image.
        batch_size: Images of the largest batch that is run.

    Raises:
        ExportError: It is too large.
    """
    height, width = spec.image_size
    values = batch_size * spec.num_channels * height * width
    if values > MAX_INPUT_VALUES:
        raise ExportError(
            f"{batch_size} images of {height} x {width} pixels and {spec.num_channels} channels are {values} values, "
            f"an export runs at most {MAX_INPUT_VALUES} at once; take a smaller height, width or batch_size"
        )


def check_place(out: Path) -> None:
    """Refuse what cannot be written, or should not be.

    Raises:
        ExportError: `out` is no place for an ONNX file.
    """
    if out.is_dir():
        raise ExportError(f"{out}: is a folder; name a file in it, such as {out / 'model.onnx'}")
    if not out.parent.is_dir():
        raise ExportError(f"{out.parent}: there is no such folder")
    if out.suffix.lower() != ENDING:
        raise ExportError(f"{out}: the name must end in {ENDING}; nothing else is overwritten")
    try:
        check_writable(out.parent)
    except OSError as error:
        raise ExportError(f"{out.parent}: cannot be written to: {error.strerror}") from error


def check_packages(precision: str, *, verify: bool, simplify: bool) -> None:
    """Refuse what an extra would be needed for.

    Raises:
        MissingPackageError: It is not installed.
    """
    if verify or precision != "fp32":
        _require("onnxruntime", "onnxruntime", "`verify`" if precision == "fp32" else f"precision {precision}")
    if simplify:
        _require("onnxslim", "onnxslim", "`simplify`")


def _require(package: str, extra: str, purpose: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise MissingPackageError(package, extra, purpose)
