"""From a PyTorch classifier to one ONNX file that says how to use it."""

from __future__ import annotations

import importlib.metadata
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import attrs
import numpy as np

from lt_data import TaskSpec, atomic_write
from lt_export.errors import ExportError, MissingPackageError, VerificationError
from lt_export.onnx_arguments import (
    DEFAULT_DROP,
    Precision,
    check_numbers,
    check_packages,
    check_place,
    check_size,
    check_together,
)
from lt_export.paths import as_path

try:
    import onnx
    import onnxscript  # noqa: F401  # torch.onnx.export needs it
    import torch  # noqa: F401  # named when it is missing
    from torch import nn
except ImportError as error:
    raise MissingPackageError(str(error.name), "onnx", "exporting to ONNX") from error

from lt_export.agreement import LIMITS, Agreement, compare
from lt_export.half import activation_ranges, to_half
from lt_export.metadata import to_metadata
from lt_export.probes import PROBES, probe_images
from lt_export.quantize import CALIBRATION_IMAGES, Accuracy, accuracy, evenly, to_int8
from lt_export.runtime.description import Description
from lt_export.samples import Images, Labels, Samples, find_samples
from lt_export.tracing import ScoresOf, frozen_copy, simplified, trace, with_preprocessing
from lt_export.verify import DYNAMIC_SIZES, both_scores, prepared_batches, verified

logger = logging.getLogger(__name__)

MAX_BYTES = 2 * 2**30 - 1
"""Protobuf's limit; larger models would need a second file with external data, which we neither write nor read."""

RANGE_IMAGES = 16
"""Images, of those given, on which activations must fit fp16; each run shows all of them and takes memory."""

FEW_IMAGES = 100
"""Below, a warning that one image is more than a point."""


@attrs.frozen
class OnnxExport:
    """What was written.

    Attributes:
        path: The file.
        size: Its size in bytes.
        verification: How it compares with the PyTorch model, None when not asked for.
        accuracy: What quantisation costs, None for other precisions than int8.
    """

    path: Path
    size: int
    verification: Agreement | None
    accuracy: Accuracy | None = None

    def __str__(self) -> str:
        told = [str(one) for one in (self.verification, self.accuracy) if one is not None]
        return "; ".join([f"{self.path} ({self.size / 1e6:.1f} MB)", *told])


def export_onnx(
    classifier: nn.Module,
    task: TaskSpec,
    out: str | os.PathLike[str],
    *,
    precision: Precision = "auto",
    batch_size: int = 1,
    dynamic_batch_size: bool = True,
    opset_version: int | None = None,
    simplify: bool = True,
    verify: bool = True,
    include_preprocessing: bool = False,
    images: Images | None = None,
    labels: Labels | None = None,
    max_accuracy_drop: float = DEFAULT_DROP,
    checkpoint_sha256: str = "",
    format_args: Mapping[str, Any] | None = None,
) -> OnnxExport:
    """Write a classifier as one ONNX file; the model in memory stays as it is.

    Args:
        classifier: Normalised images, float32 (N, C, H, W), to logits (N, classes).
        task: Its task, classes and preprocessing; goes into the file. Images have its `image_size`.
        out: The file to write, whole or not at all.
        precision: Of the weights; auto is fp32. fp16 keeps softmax, normalisation and logits in fp32, and what is too
            large for fp16 on `images`. int8 quantises products, with the ranges that activations have on `images`.
        batch_size: N of a fixed batch; ignored, with a warning of the log, without `dynamic_batch_size=False`.
        dynamic_batch_size: Whether any N ≥ 1 is accepted.
        opset_version: ONNX operator set, at least 18; None leaves the choice to PyTorch's exporter.
        simplify: Whether onnxslim shortens the graph.
        verify: Whether ONNX Runtime must give the same scores, for several N when the batch is dynamic: all within 1e-4
            and the same labels in fp32, within 5e-3 and 99.9 % of the labels in fp16. int8 is always measured, by
            `max_accuracy_drop`.
        include_preprocessing: Whether the file takes decoded images of any size, uint8 (N, H, W, C), and does in the
            graph what lt-data does with them, to the bit.
        images: Real images to verify and quantise with: a list of them, or a folder. None takes generated ones, which
            int8 cannot do with.
        labels: For int8 alone: class IDs of `images`; a folder with class folders has its own. Without, what the model
            says in fp32 is taken for the truth: for multilabel the classes above 0.5, and those above the thresholds of
            a calibrated model.
        max_accuracy_drop: For int8 alone: points of accuracy that it may lose on `images`; for a calibrated multilabel
            model both at 0.5 and at its own thresholds.
        checkpoint_sha256: Of the file that the classifier comes from; goes into the file.
        format_args: Further arguments of `torch.onnx.export`.

    Returns:
        Path, size, and how the file compares with the classifier.

    Raises:
        ExportError: An argument is wrong or would do nothing beside the others, the model cannot be exported, or is
            above protobuf's 2 GiB.
        VerificationError: The exported model answers differently, or int8 costs too much.
        DatasetError: `images` is a folder that cannot be read, or with folders that are not classes.
        MissingPackageError: onnxslim or onnxruntime is asked for and not installed.
    """
    exact: Literal["fp32", "fp16", "int8"] = "fp32" if precision == "auto" else precision
    given = {} if format_args is None else format_args
    check_numbers(precision, batch_size, opset_version, max_accuracy_drop, given)
    check_together(
        exact,
        verify=verify,
        images=images,
        labels=labels,
        max_accuracy_drop=max_accuracy_drop,
    )
    file = as_path(out, "out", ExportError)
    check_place(file)
    check_packages(exact, verify=verify, simplify=simplify)
    sizes = DYNAMIC_SIZES if dynamic_batch_size else (batch_size,)
    check_size(task.preprocessing, max(sizes))
    samples = None if images is None else find_samples(images, labels, task)
    batch = None if dynamic_batch_size else batch_size
    shown = samples or Samples(probe_images(task.preprocessing, sum(sizes)), None)
    model = frozen_copy(classifier, task)
    if dynamic_batch_size and batch_size != 1:
        logger.warning("any number of images is accepted; for %d at once turn `dynamic_batch_size` off", batch_size)
    logger.info("tracing the model with PyTorch at %d x %d pixels", *task.preprocessing.image_size)
    proto = trace(model, task, batch_size=batch, opset_version=opset_version, format_args=given)
    if simplify:
        logger.info("simplifying the graph with onnxslim")
        proto = simplified(proto)
    proto = _converted(proto, exact, shown, task, sizes)
    if include_preprocessing:
        logger.info("adding preprocessing to the graph")
        proto = with_preprocessing(proto, task, batch_size=batch)
    description = Description(
        task=task,
        precision=exact,
        includes_preprocessing=include_preprocessing,
        version=importlib.metadata.version("lt-export"),
        checkpoint_sha256=checkpoint_sha256,
        reference_scores=np.empty((0, len(task.classes)), dtype=np.float32),
    )
    content = _described(proto, model, description, sizes)
    agreement, cost = _judged(
        content, model, shown, description, sizes, verify=verify, max_accuracy_drop=max_accuracy_drop
    )
    logger.info("writing %s", file)
    try:
        with atomic_write(file) as stream:
            stream.write(content)
    except OSError as error:
        raise ExportError(f"{file}: cannot be written: {error.strerror}") from error
    logger.info("exported %s (%.1f MB)%s", file, len(content) / 1e6, f", verified: {agreement}" if agreement else "")
    return OnnxExport(file, len(content), agreement, cost)


def _converted(
    proto: onnx.ModelProto, precision: str, shown: Samples, task: TaskSpec, sizes: tuple[int, ...]
) -> onnx.ModelProto:
    spec = task.preprocessing
    if precision == "fp16":
        some = [shown.images[i] for i in evenly(len(shown.images), RANGE_IMAGES)]
        logger.info("converting to fp16, with the ranges of activations on %d images", len(some))
        return to_half(proto, activation_ranges(proto, prepared_batches(some, spec, sizes)))
    if precision == "int8":
        some = [shown.images[i] for i in evenly(len(shown.images), CALIBRATION_IMAGES)]
        logger.info("quantising to int8, with the ranges of activations on %d images", len(some))
        return to_int8(proto, lambda: prepared_batches(some, spec, sizes))
    return proto


def _described(proto: onnx.ModelProto, model: ScoresOf, description: Description, sizes: tuple[int, ...]) -> bytes:
    """The file's content, with the scores of probe images in it: of the PyTorch model, or of int8's own."""
    probes = probe_images(description.task.preprocessing, PROBES)
    spec = description.task.preprocessing
    if description.precision != "int8":
        scores = np.concatenate([model.scores(batch) for batch in prepared_batches(probes, spec, (1,))])
    else:
        scores = both_scores(_serialised(proto), model.scores, probes, description, sizes).exported[:PROBES]
    onnx.helper.set_model_props(proto, to_metadata(attrs.evolve(description, reference_scores=scores)))
    return _serialised(proto)


def _serialised(proto: onnx.ModelProto) -> bytes:
    if proto.ByteSize() > MAX_BYTES:
        raise ExportError(f"the model has {proto.ByteSize()} bytes, one ONNX file holds at most {MAX_BYTES}")
    return bytes(proto.SerializeToString())


def _judged(
    content: bytes,
    model: ScoresOf,
    shown: Samples,
    description: Description,
    sizes: tuple[int, ...],
    *,
    verify: bool,
    max_accuracy_drop: float,
) -> tuple[Agreement | None, Accuracy | None]:
    """How the file compares with the model: for int8 what it costs, whether or not `verify` is set."""
    if description.precision != "int8":
        if not verify:
            return None, None
        logger.info("verifying on %d images with ONNX Runtime", len(shown.images))
        return verified(both_scores(content, model.scores, shown.images, description, sizes), description), None
    logger.info("measuring what int8 costs on %d images", len(shown.images))
    scores = both_scores(content, model.scores, shown.images, description, sizes)
    count = len(shown.images)
    cost = accuracy(scores.original[:count], scores.exported[:count], shown.truth, description.task)
    logger.info("%s", cost)
    if count < FEW_IMAGES:
        logger.warning(
            "%d images say little of what 8 bits cost; give some hundreds like those of the model's use", count
        )
    if not cost.drop <= max_accuracy_drop:
        raise VerificationError(
            f"int8 costs more than max_accuracy_drop = {max_accuracy_drop:g} points: {cost}. Give more images like "
            f"those that the model will see (one is {100.0 / cost.images:.2g} points here), allow more by "
            'max_accuracy_drop, or take precision="fp16"'
        )
    return compare(scores.exported, scores.original, description.task, LIMITS["int8"].difference), cost
