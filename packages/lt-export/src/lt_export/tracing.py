"""From a PyTorch module to an ONNX graph in memory."""

from __future__ import annotations

import contextlib
import copy
import io
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import nn

from lt_data import TaskSpec
from lt_export.errors import ExportError
from lt_export.metadata import INPUT_NAME, OUTPUT_NAME


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
    # An example batch of 1 would be taken for a constant.
    images = torch.zeros(2 if batch_size is None else batch_size, spec.num_channels, *spec.image_size)
    dynamic_shapes = {"images": {0: torch.export.Dim("batch", min=1)}} if batch_size is None else None
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
        raise ExportError(f"PyTorch cannot export this model at image size {spec.image_size}: {error}") from error
    assert program is not None
    proto = program.model_proto
    strip(proto)
    return proto


def simplified(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The graph as onnxslim shortens it."""
    import onnxslim

    slim: onnx.ModelProto = onnxslim.slim(proto)
    strip(slim)
    return slim


def strip(proto: onnx.ModelProto) -> None:
    """Remove what the exporter noted of the source code: stack traces with paths of this machine."""
    del proto.metadata_props[:]
    for part in (*proto.graph.node, *proto.graph.value_info, *proto.graph.initializer, proto.graph):
        del part.metadata_props[:]
        part.doc_string = ""
