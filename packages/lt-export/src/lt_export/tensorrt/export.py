"""From a PyTorch classifier to an engine, by way of an ONNX file that stays."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import attrs

from lt_data import TaskSpec, listed
from lt_export.errors import EngineError
from lt_export.tensorrt.building import build_with, check_place, check_timing_cache
from lt_export.tensorrt.options import BuildOptions
from lt_export.tensorrt.record import EngineBuild

if TYPE_CHECKING:
    from torch import nn

    from lt_export.onnx_export import OnnxExport

DECIDED = frozenset({"classifier", "task", "out", "precision", "batch_size", "dynamic_batch_size"})
"""Arguments of `export_onnx` that follow from those of `export_tensorrt`."""


@attrs.frozen
class TensorRTExport:
    """What was written.

    Attributes:
        onnx: The ONNX file, which other machines build their engines from.
        engine: The engine.
    """

    onnx: OnnxExport
    engine: EngineBuild


def export_tensorrt(
    classifier: nn.Module,
    task: TaskSpec,
    out: str | os.PathLike[str],
    *,
    precision: Literal["auto", "fp32", "fp16"] = "auto",
    onnx_args: Mapping[str, Any] | None = None,
    min_batchsize: int = 1,
    opt_batchsize: int = 1,
    max_batchsize: int = 1,
    workspace_gb: float | None = None,
    timing_cache: str | os.PathLike[str] | None = None,
    version_compatible: bool = False,
    hardware_compatible: bool = False,
    verbose: bool = False,
) -> TensorRTExport:
    """Write a classifier as a TensorRT engine for this machine's GPU, and as the ONNX file that it is built from.

    Both the ONNX file and the engine must give the classifier's scores. The ONNX file lies beside the engine:
    `model.onnx` for `model.trt`, replaced if it is there. It is written first, and stays when no engine can be built.

    Args:
        classifier: Normalised images, float32 (N, C, H, W), to logits (N, classes).
        task: Its task, classes and preprocessing.
        out: The engine to write, `.trt`, `.engine` or `.plan`; its description lies beside it as `<out>.json`.
        precision: Of the weights in the ONNX file, which the engine keeps to; auto is what `export_onnx` makes of it.
        onnx_args: Further arguments of `export_onnx`, such as `{"verify": False}`.
        min_batchsize: Smallest number of images at once.
        opt_batchsize: The number it shall be fastest for.
        max_batchsize: Largest number of images at once.
        workspace_gb: As for `build_engine`.
        timing_cache: As for `build_engine`.
        version_compatible: As for `build_engine`.
        hardware_compatible: As for `build_engine`.
        verbose: As for `build_engine`.

    Returns:
        Both files.

    Raises:
        EngineError: TensorRT, its libraries, or a GPU are missing, TensorRT refuses the model, or an argument is out
            of range. Where something is missing, the ONNX file was written, and the message and `command` say how
            trtexec builds the engine from it.
        ExportError: The model cannot be exported to ONNX.
        VerificationError: The ONNX file or the engine answers differently.
        MissingPackageError: A package that exports to ONNX is not installed.
    """
    from lt_export.onnx_export import export_onnx

    options = BuildOptions(
        min_batchsize=min_batchsize,
        opt_batchsize=opt_batchsize,
        max_batchsize=max_batchsize,
        workspace_gb=workspace_gb,
        timing_cache=timing_cache,
        version_compatible=version_compatible,
        hardware_compatible=hardware_compatible,
        verbose=verbose,
    )
    engine = check_place(out)
    check_timing_cache(options.timing_cache)
    if precision not in ("auto", "fp32", "fp16"):
        raise EngineError(f"precision must be 'auto', 'fp32' or 'fp16', got {precision!r}")
    further = _onnx_args({} if onnx_args is None else onnx_args, [*inspect.signature(export_onnx).parameters])
    onnx = export_onnx(
        classifier,
        task,
        engine.with_suffix(".onnx"),
        precision=precision,
        batch_size=options.batch.largest if options.batch.fixed else 1,
        dynamic_batch_size=not options.batch.fixed,
        **further,
    )
    return TensorRTExport(onnx, build_with(onnx.path, engine, options))


def _onnx_args(given: Mapping[str, Any], known: list[str]) -> Mapping[str, Any]:
    """`given`, which must be arguments of `export_onnx` that are free to choose."""
    if not isinstance(given, Mapping):
        raise EngineError(f"onnx_args must map arguments of export_onnx to values, got {given!r}")
    decided = sorted(DECIDED & set(given))
    if decided:
        raise EngineError(
            f"onnx_args: {listed(decided)} is not free here; for int8 call export_onnx, then build_engine"
        )
    valid = sorted({*known, "height", "width"} - DECIDED - {"checkpoint_sha256"})
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise EngineError(f"onnx_args: export_onnx takes no {listed(unknown)}; valid are {listed(valid, 20)}")
    if given.get("include_preprocessing"):
        raise EngineError("onnx_args: TensorRT has no antialiased resize, so include_preprocessing must be False")
    return given
