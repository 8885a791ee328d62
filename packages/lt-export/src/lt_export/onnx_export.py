"""From a PyTorch classifier to one ONNX file that says how to use it."""

from __future__ import annotations

import contextlib
import copy
import importlib.metadata
import importlib.util
import io
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import attrs

from lt_data import TaskSpec, atomic_write
from lt_export.errors import ExportError, MissingPackageError

try:
    import onnx
    import onnxscript  # noqa: F401  # torch.onnx.export needs it
    import torch
    from torch import nn
except ImportError as error:
    raise MissingPackageError(str(error.name), "onnx", "exporting to ONNX") from error

from lt_export.metadata import INPUT_NAME, OUTPUT_NAME, to_metadata
from lt_export.verify import Verification, structured_images, verify_onnx

logger = logging.getLogger(__name__)

MAX_BYTES = 2 * 2**30 - 1
"""Protobuf's limit; larger models would need a second file with external data, which we neither write nor read."""


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
    verification: Verification | None


class ScoresOf(nn.Module):
    """A classifier whose output is probabilities instead of logits."""

    def __init__(self, classifier: nn.Module, task: TaskSpec) -> None:
        super().__init__()
        self.classifier = classifier
        self.multiclass = task.task == "multiclass"

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Scores of shape (N, classes)."""
        logits: torch.Tensor = self.classifier(images).float()
        return logits.softmax(dim=1) if self.multiclass else logits.sigmoid()


def export_onnx(
    classifier: nn.Module,
    task: TaskSpec,
    out: Path,
    *,
    precision: Literal["auto", "fp32"] = "auto",
    batch_size: int = 1,
    dynamic_batch_size: bool = True,
    opset_version: int | None = None,
    simplify: bool = True,
    verify: bool = True,
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
        format_args: Further arguments of `torch.onnx.export`.

    Raises:
        ExportError: The model cannot be exported, or is above protobuf's 2 GiB.
        VerificationError: The exported model answers differently.
        MissingPackageError: onnxslim or onnxruntime is asked for and not installed.
    """
    if precision not in ("auto", "fp32"):
        raise ExportError(f"precision must be 'auto' or 'fp32', got {precision!r}")
    if verify:
        _require("onnxruntime", "onnxruntime", "verify=True")
    if simplify:
        _require("onnxslim", "onnxslim", "simplify=True")
    if batch_size < 1:
        raise ExportError(f"batch_size must be at least 1, got {batch_size}")
    if out.is_dir():
        raise ExportError(f"{out}: is a folder; name a file in it, such as {out / 'model.onnx'}")
    if not out.parent.is_dir():
        raise ExportError(f"{out.parent}: there is no such folder")
    model = _plainly_laid_out(ScoresOf(copy.deepcopy(classifier).cpu().float(), task).eval())
    proto = _to_proto(model, task, batch_size, dynamic_batch_size, opset_version, format_args or {})
    if simplify:
        proto = _simplified(proto)
    _strip(proto)
    onnx.helper.set_model_props(proto, to_metadata(task, importlib.metadata.version("lt-export")))
    if proto.ByteSize() > MAX_BYTES:
        raise ExportError(f"the model has {proto.ByteSize()} bytes, one ONNX file holds at most {MAX_BYTES}")
    content = proto.SerializeToString()
    batch_sizes = (1, 2, 5) if dynamic_batch_size else (batch_size,)
    verification = verify_onnx(content, model, task, batch_sizes) if verify else None
    with atomic_write(out) as stream:
        stream.write(content)
    logger.info("exported %s (%.1f MB)%s", out, len(content) / 1e6, f", {verification}" if verification else "")
    return OnnxExport(out, len(content), verification)


def _plainly_laid_out(model: ScoresOf) -> ScoresOf:
    """Weights in the order of their shape.

    PyTorch 2.10's exporter writes what another order does to pooling into the graph, as loops that ONNX Runtime
    refuses.
    """
    for parameter in model.parameters():
        # `contiguous` would leave the strides of 1 x 1 convolutions, which still say channels-last.
        parameter.data = torch.empty(parameter.shape, dtype=parameter.dtype).copy_(parameter.data)
    return model


def _to_proto(
    model: nn.Module,
    task: TaskSpec,
    batch_size: int,
    dynamic: bool,
    opset_version: int | None,
    format_args: Mapping[str, Any],
) -> onnx.ModelProto:
    # An example batch of 1 would be taken for a constant.
    images = torch.from_numpy(structured_images(task, max(2, batch_size) if dynamic else batch_size))
    dynamic_shapes = {"images": {0: torch.export.Dim("batch", min=1)}} if dynamic else None
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                model,
                (images,),
                dynamo=True,
                input_names=[INPUT_NAME],
                output_names=[OUTPUT_NAME],
                dynamic_shapes=dynamic_shapes,
                opset_version=opset_version,
                verbose=False,
                **format_args,
            )
    # The exporter wraps whatever the model's own code raises under tracing.
    except Exception as error:
        raise ExportError(
            f"PyTorch cannot export this model at image size {task.preprocessing.image_size}: {error}"
        ) from error
    assert program is not None
    return program.model_proto


def _simplified(proto: onnx.ModelProto) -> onnx.ModelProto:
    import onnxslim

    slim: onnx.ModelProto = onnxslim.slim(proto)
    return slim


def _strip(proto: onnx.ModelProto) -> None:
    """Remove what the exporter noted of the source code: stack traces with paths of this machine."""
    del proto.metadata_props[:]
    for part in (*proto.graph.node, *proto.graph.value_info, *proto.graph.initializer, proto.graph):
        del part.metadata_props[:]
        part.doc_string = ""


def _require(package: str, extra: str, purpose: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise MissingPackageError(package, extra, purpose)
