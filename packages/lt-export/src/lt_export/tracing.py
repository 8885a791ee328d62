"""From a PyTorch module to an ONNX graph in memory."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import nn

from lt_data import TaskSpec
from lt_export.errors import ExportError
from lt_export.metadata import INPUT_NAME, OUTPUT_NAME
from lt_export.preprocessing_module import EvaluationPreprocessing

PREPARED_NAME = "prepared"
"""Between preprocessing and classifier, where both are in the graph."""
PREFIX = "preprocessing/"


class ScoresOf(nn.Module):
    """A classifier whose output is probabilities instead of logits."""

    def __init__(self, classifier: nn.Module, task: TaskSpec) -> None:
        super().__init__()
        self.classifier = classifier
        self.multiclass = task.task == "multiclass"
        self.temperature = task.calibration.temperature

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Scores of shape (N, classes)."""
        logits: torch.Tensor = self.classifier(images).float()
        if self.temperature != 1.0:
            logits = logits / self.temperature
        return logits.softmax(dim=1) if self.multiclass else logits.sigmoid()

    @torch.no_grad()
    def scores(self, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Scores of preprocessed images, as arrays."""
        found: npt.NDArray[np.float32] = self(torch.from_numpy(images)).numpy()
        return found


def frozen_copy(classifier: nn.Module, task: TaskSpec) -> ScoresOf:
    """The classifier for export: on the CPU, in fp32, in evaluation mode; the one given stays as it is."""
    model = ScoresOf(copy.deepcopy(classifier).cpu().float(), task).eval()
    for parameter in model.parameters():
        # In the order of their shape: PyTorch 2.10's exporter writes what another order does to pooling into the
        # graph, as loops that ONNX Runtime refuses. `contiguous` would leave the strides of 1 x 1 convolutions,
        # which still say channels-last.
        parameter.data = torch.empty(parameter.shape, dtype=parameter.dtype).copy_(parameter.data)
    return model


def trace(
    model: ScoresOf,
    task: TaskSpec,
    *,
    batch_size: int | None,
    opset_version: int | None,
    format_args: Mapping[str, Any],
) -> onnx.ModelProto:
    """The graph of a model, without notes on the machine and the source code that it comes from.

    Args:
        model: In evaluation mode.
        task: Gives the shape of the input.
        batch_size: N; None for any.
        opset_version: ONNX operator set; None leaves the choice to PyTorch's exporter.
        format_args: Further arguments of `torch.onnx.export`.

    Raises:
        ExportError: The model cannot be traced.
    """
    spec = task.preprocessing
    dynamic = {0: torch.export.Dim("batch", min=1)} if batch_size is None else {}
    try:
        # An example batch of 1 would be taken for a constant.
        images = torch.zeros(2 if batch_size is None else batch_size, spec.num_channels, *spec.image_size)
        return _exported(model, images, OUTPUT_NAME, dynamic, opset_version, format_args)
    # The exporter wraps whatever the model's own code raises under tracing.
    except Exception as error:
        raise ExportError(f"PyTorch cannot export this model at image size {spec.image_size}: {error}") from error


def with_preprocessing(proto: onnx.ModelProto, task: TaskSpec, *, batch_size: int | None) -> onnx.ModelProto:
    """A graph that takes uint8 images (N, H, W, C) of any size and preprocesses them before it runs `proto`."""
    module = EvaluationPreprocessing(task.preprocessing).eval()
    images = torch.zeros(batch_size or 2, 37, 53, task.preprocessing.num_channels, dtype=torch.uint8)
    dynamic = {1: torch.export.Dim("height", min=1), 2: torch.export.Dim("width", min=1)}
    if batch_size is None:
        dynamic[0] = torch.export.Dim("batch", min=1)
    (opset,) = [entry.version for entry in proto.opset_import if entry.domain == ""]
    first = _exported(module, images, PREPARED_NAME, dynamic, opset, {})
    first = onnx.compose.add_prefix(first, PREFIX, rename_inputs=False, rename_outputs=False)
    first.ir_version = proto.ir_version
    second = onnx.ModelProto()
    second.CopyFrom(proto)
    _rename_input(second, PREPARED_NAME)
    merged = onnx.compose.merge_models(first, second, io_map=[(PREPARED_NAME, PREPARED_NAME)])
    strip(merged)
    return merged


def _exported(
    module: nn.Module,
    images: torch.Tensor,
    output_name: str,
    dynamic: Mapping[int, Any],
    opset_version: int | None,
    format_args: Mapping[str, Any],
) -> onnx.ModelProto:
    with quiet(), torch.no_grad():
        program = torch.onnx.export(
            module,
            (images,),
            dynamo=True,
            input_names=[INPUT_NAME],
            output_names=[output_name],
            dynamic_shapes={"images": dict(dynamic)} if dynamic else None,
            opset_version=opset_version,
            verbose=False,
            **format_args,
        )
    assert program is not None
    proto: onnx.ModelProto = program.model_proto
    strip(proto)
    return proto


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporter's hundreds of lines about its own work from users who log at level INFO."""
    talkers = [logging.getLogger(name) for name in ("onnxscript", "onnx_ir", "torch.onnx", "torch.export", "onnxslim")]
    levels = [talker.level for talker in talkers]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            for talker in talkers:
                talker.setLevel(logging.ERROR)
            yield
        finally:
            for talker, level in zip(talkers, levels, strict=True):
                talker.setLevel(level)


def _rename_input(proto: onnx.ModelProto, name: str) -> None:
    (value,) = proto.graph.input
    old, value.name = value.name, name
    for node in proto.graph.node:
        for position, taken in enumerate(node.input):
            if taken == old:
                node.input[position] = name


def simplified(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The graph as onnxslim shortens it."""
    import onnxslim

    with quiet():
        slim: onnx.ModelProto = onnxslim.slim(proto)
    strip(slim)
    return slim


def strip(proto: onnx.ModelProto) -> None:
    """Remove what the exporter noted of the source code: stack traces with paths of this machine."""
    del proto.metadata_props[:]
    for part in (*proto.graph.node, *proto.graph.value_info, *proto.graph.initializer, proto.graph):
        del part.metadata_props[:]
        part.doc_string = ""
