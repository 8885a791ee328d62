"""From an fp32 graph to one whose products are taken in 8 bits, and what that costs."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import onnx

from lt_data import TaskSpec
from lt_export.agreement import label_thresholds
from lt_export.errors import ExportError
from lt_export.metadata import INPUT_NAME

logger = logging.getLogger(__name__)

PRODUCTS = ("Conv", "Gemm", "MatMul")
"""Operators that take nearly all of the time, and whose weights are nearly all of the file."""

CALIBRATION_IMAGES = 256
"""At most, spread evenly over those given: ranges settle long before, and each takes memory."""


def to_int8(proto: onnx.ModelProto, batches: Callable[[], Iterator[npt.NDArray[np.float32]]]) -> onnx.ModelProto:
    """A copy with static 8-bit quantisation as pairs of QuantizeLinear and DequantizeLinear.

    Weights are quantised by output channel and activations by tensor, both symmetrically around 0, as TensorRT wants
    it. Only products with weights are: attention's products of activations, normalisation and softmax stay in fp32,
    and so does the layer that makes the logits.

    Args:
        proto: A model in fp32.
        batches: Preprocessed images from which the ranges of activations are taken, anew for each call.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # ONNX Runtime has no types
        def __init__(self) -> None:
            self._batches = batches()

        def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
            batch = next(self._batches, None)
            return None if batch is None else {INPUT_NAME: batch}

    named = _with_names(proto)
    with tempfile.TemporaryDirectory() as folder:
        # From a file: older versions of ONNX Runtime write models in memory to two files, and lose one.
        source, path = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        onnx.save(named, source)
        quantize_static(
            source,
            path,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=list(PRODUCTS),
            nodes_to_exclude=[head_of(named)],
            extra_options={
                "ActivationSymmetric": True,
                "MatMulConstBOnly": True,
                "QDQOpTypePerChannelSupportToAxis": {"MatMul": 1},
            },
        )
        return onnx.load(path)


def _with_names(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with shapes, in which each node has a name of its own; onnxslim leaves some without."""
    named = onnx.shape_inference.infer_shapes(proto)
    # Tells the quantiser that the graph is ready for it; it would warn otherwise.
    onnx.helper.set_model_props(named, {"onnx.quant.pre_process": "onnxruntime.quant"})
    for number, node in enumerate(named.graph.node):
        node.name = f"{node.op_type}_{number}"
    return named


def head_of(proto: onnx.ModelProto) -> str:
    """Name of the last product before the scores."""
    products = [node.name for node in proto.graph.node if node.op_type in PRODUCTS]
    if not products:
        raise ExportError("the model has no convolution and no matrix product: there is nothing to quantise")
    return str(products[-1])


@attrs.frozen
class Accuracy:
    """What quantisation costs.

    Attributes:
        before: Of the PyTorch model in fp32, in [0, 1]: the share of images whose best class is right (multiclass), or
            F1 over all decisions for and against a class (multilabel, threshold 0.5). 1 where no labels are given,
            since the PyTorch model itself is then taken for the truth.
        after: Of the exported model, likewise.
        images: How many were classified.
        labelled: Whether labels were given.
        own_thresholds: Whether decisions are those of the thresholds that a calibrated model has, which are taken in
            place of 0.5 where quantisation costs more at them.
    """

    before: float
    after: float
    images: int
    labelled: bool
    own_thresholds: bool = False

    @property
    def drop(self) -> float:
        """In points, that is, hundredths; negative for a gain."""
        return 100.0 * (self.before - self.after)

    def __str__(self) -> str:
        truth = "their labels" if self.labelled else "what the model says in fp32"
        decided = ", with the model's own thresholds" * self.own_thresholds
        return (
            f"accuracy {100 * self.before:.2f} % before and {100 * self.after:.2f} % after quantisation, a drop of "
            f"{self.drop:.2f} points, on {self.images} images against {truth}{decided}"
        )


def accuracy(
    before: npt.NDArray[np.float32],
    after: npt.NDArray[np.float32],
    truth: npt.NDArray[Any] | None,
    task: TaskSpec,
) -> Accuracy:
    """Compare scores of the same images, each float32 of shape (N, classes).

    A multilabel task with thresholds of its own is compared at 0.5 and at these; what costs more is told.

    Args:
        before: Of the PyTorch model.
        after: Of the exported model.
        truth: Index of each image's class, shape (N,); or for multilabel whether it has each class, bool of shape
            (N, classes). None takes what `before` says.
        task: Multiclass or multilabel.
    """
    if task.task == "multiclass":
        return _measured(_share, before.argmax(axis=1), after.argmax(axis=1), truth)
    fixed, *own = [
        _measured(_f1, before > thresholds, after > thresholds, truth) for thresholds in label_thresholds(task)
    ]
    return max([fixed, *(attrs.evolve(one, own_thresholds=True) for one in own)], key=lambda one: one.drop)


def _measured(
    rate: Callable[[npt.NDArray[Any], npt.NDArray[Any]], float],
    ours: npt.NDArray[Any],
    theirs: npt.NDArray[Any],
    truth: npt.NDArray[Any] | None,
) -> Accuracy:
    right = ours if truth is None else truth
    return Accuracy(rate(ours, right), rate(theirs, right), len(ours), truth is not None)


def _share(found: npt.NDArray[Any], truth: npt.NDArray[Any]) -> float:
    return float((found == truth).mean())


def _f1(found: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> float:
    """2 TP / (2 TP + FP + FN) over all images and classes; 1 where nothing is there and nothing was found."""
    both, either = int((found & truth).sum()), int(found.sum()) + int(truth.sum())
    return 2 * both / either if either else 1.0


def evenly(count: int, limit: int) -> Sequence[int]:
    """At most `limit` indices, spread evenly over `count`."""
    return range(count) if count <= limit else [i * count // limit for i in range(limit)]
