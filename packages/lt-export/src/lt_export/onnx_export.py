"""From a PyTorch classifier to one ONNX file that says how to use it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs
import numpy as np

from lt_data import ImageLike, TaskSpec, atomic_write, preprocess
from lt_export.errors import ExportError, MissingPackageError

try:
    import onnx
    import onnxscript  # noqa: F401  # torch.onnx.export needs it
    import torch  # noqa: F401  # named when it is missing
    from torch import nn
except ImportError as error:
    raise MissingPackageError(str(error.name), "onnx", "exporting to ONNX") from error

from lt_export.agreement import Agreement
from lt_export.metadata import to_metadata
from lt_export.probes import PROBES, probe_images
from lt_export.runtime.description import Description
from lt_export.tracing import ScoresOf, frozen_copy, simplified, trace
from lt_export.verify import DYNAMIC_SIZES, verify_onnx

logger = logging.getLogger(__name__)

MAX_BYTES = 2 * 2**30 - 1
"""Protobuf's limit; larger models would need a second file with external data, which we neither write nor read."""

Precision = Literal["auto", "fp32", "fp16", "int8"]


@attrs.frozen
class OnnxExport:
    """What was written.

    Attributes:
        path: The file.
        size: Its size in bytes.
        verification: How it compares with the PyTorch model, None when not asked for.
    """

    path: Path
    size: int
    verification: Agreement | None


def export_onnx(
    classifier: nn.Module,
    task: TaskSpec,
    out: Path,
    *,
    precision: Precision = "auto",
    batch_size: int = 1,
    dynamic_batch_size: bool = True,
    opset_version: int | None = None,
    simplify: bool = True,
    verify: bool = True,
    images: Sequence[ImageLike] | None = None,
    checkpoint_sha256: str = "",
    format_args: Mapping[str, Any] | None = None,
) -> OnnxExport:
    """Write a classifier as one ONNX file; the model in memory stays as it is.

    Args:
        classifier: Normalised images, float32 (N, C, H, W), to logits (N, classes).
        task: Its task, classes and preprocessing; goes into the file. Images have its `image_size`.
        out: The file to write, whole or not at all.
        precision: Of the weights; auto is fp32.
        batch_size: N of a fixed batch.
        dynamic_batch_size: Whether any N ≥ 1 is accepted.
        opset_version: ONNX operator set; None leaves the choice to PyTorch's exporter.
        simplify: Whether onnxslim shortens the graph.
        verify: Whether ONNX Runtime must give the same scores, for several N when the batch is dynamic.
        images: Real images to verify with; None takes generated ones.
        checkpoint_sha256: Of the file that the classifier comes from; goes into the file.
        format_args: Further arguments of `torch.onnx.export`.

    Returns:
        Path, size, and how the file compares with the classifier.

    Raises:
        ExportError: The model cannot be exported, or is above protobuf's 2 GiB.
        VerificationError: The exported model answers differently.
        MissingPackageError: onnxslim or onnxruntime is asked for and not installed.
    """
    if precision not in ("auto", "fp32"):
        raise ExportError(f"precision must be 'auto' or 'fp32', got {precision!r}")
    _check_place(out)
    if verify:
        _require("onnxruntime", "onnxruntime", "verify=True")
    if simplify:
        _require("onnxslim", "onnxslim", "simplify=True")
    if batch_size < 1:
        raise ExportError(f"batch_size must be at least 1, got {batch_size}")
    model = frozen_copy(classifier, task)
    proto = trace(
        model,
        task,
        batch_size=None if dynamic_batch_size else batch_size,
        opset_version=opset_version,
        format_args=format_args or {},
    )
    if simplify:
        proto = simplified(proto)
    description = _description(model, task, checkpoint_sha256)
    onnx.helper.set_model_props(proto, to_metadata(description))
    if proto.ByteSize() > MAX_BYTES:
        raise ExportError(f"the model has {proto.ByteSize()} bytes, one ONNX file holds at most {MAX_BYTES}")
    content = proto.SerializeToString()
    sizes = DYNAMIC_SIZES if dynamic_batch_size else (batch_size,)
    shown = images or probe_images(task.preprocessing, sum(sizes))
    agreement = verify_onnx(content, model.scores, shown, description, sizes) if verify else None
    with atomic_write(out) as stream:
        stream.write(content)
    logger.info("exported %s (%.1f MB)%s", out, len(content) / 1e6, f", verified: {agreement}" if agreement else "")
    return OnnxExport(out, len(content), agreement)


def _description(model: ScoresOf, task: TaskSpec, checkpoint_sha256: str) -> Description:
    spec = task.preprocessing
    probes = np.stack([preprocess(image, spec) for image in probe_images(spec, PROBES)])
    return Description(
        task=task,
        precision="fp32",
        includes_preprocessing=False,
        version=importlib.metadata.version("lt-export"),
        checkpoint_sha256=checkpoint_sha256,
        reference_scores=model.scores(probes),
    )


def _check_place(out: Path) -> None:
    if out.is_dir():
        raise ExportError(f"{out}: is a folder; name a file in it, such as {out / 'model.onnx'}")
    if not out.parent.is_dir():
        raise ExportError(f"{out.parent}: there is no such folder")


def _require(package: str, extra: str, purpose: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise MissingPackageError(package, extra, purpose)
