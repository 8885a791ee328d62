"""What an ONNX file says about itself."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from lt_data import TaskSpec, TaskSpecError
from lt_export.agreement import LIMITS
from lt_export.errors import EdgeModelError
from lt_export.runtime.description import Description

TASK_SPEC = "lt_task_spec"
"""Metadata key of the TaskSpec's JSON, from which the runtime reads everything."""
REFERENCE_SCORES = "lt_reference_scores"
"""Metadata key of the scores of `probe_images`, JSON of shape (P, classes)."""
PRECISION = "precision"
INPUT = "input"
VERSION = "producer"
CHECKPOINT = "checkpoint_sha256"

INPUT_NAME = "images"
"""Input: float32 of shape (N, C, height, width), preprocessed; or uint8 of shape (N, H, W, C) of any size."""
OUTPUT_NAME = "scores"
"""Output: float32 of shape (N, classes), probabilities."""

PREPROCESSED, RAW = "float32 (N, C, height, width), preprocessed", "uint8 (N, H, W, C), any size"
DIGITS = 7
"""Of a score in the file: what float32 tells apart in [0.1, 1]."""


def to_metadata(description: Description) -> dict[str, str]:
    """Metadata of a model file: the TaskSpec, and plain keys for viewers."""
    task = description.task
    height, width = task.preprocessing.image_size
    scores = [[round(float(score), DIGITS) for score in row] for row in description.reference_scores]
    return {
        TASK_SPEC: task.to_json(),
        REFERENCE_SCORES: json.dumps(scores, separators=(",", ":")),
        "task": task.task,
        "names": ", ".join(f"{i}: {name}" for i, name in task.classes.as_dict().items()),
        "image_size": f"{height}x{width}",
        INPUT: RAW if description.includes_preprocessing else PREPROCESSED,
        PRECISION: description.precision,
        VERSION: f"lt-export {description.version}",
        CHECKPOINT: description.checkpoint_sha256,
    }


def from_metadata(metadata: Mapping[str, str], name: str) -> Description:
    """What a model file says about itself.

    Args:
        metadata: The file's metadata.
        name: The file, for the message.

    Raises:
        EdgeModelError: There is no TaskSpec, or something is damaged or too new.
    """
    if TASK_SPEC not in metadata:
        raise EdgeModelError(
            f"{name}: has no TaskSpec (metadata key `{TASK_SPEC}`), so its classes and preprocessing are unknown; "
            "export it with lightly-train's export_onnx"
        )
    try:
        task = TaskSpec.from_json(metadata[TASK_SPEC])
    except TaskSpecError as error:
        raise EdgeModelError(f"{name}: {error}") from error
    precision = metadata.get(PRECISION, "fp32")
    if precision not in LIMITS:
        raise EdgeModelError(
            f"{name}: metadata key `{PRECISION}` must be one of {', '.join(LIMITS)}, got {precision!r}"
        )
    return Description(
        task=task,
        precision=precision,
        includes_preprocessing=metadata.get(INPUT) == RAW,
        version=metadata.get(VERSION, "").removeprefix("lt-export "),
        checkpoint_sha256=metadata.get(CHECKPOINT, ""),
        reference_scores=_scores(metadata.get(REFERENCE_SCORES, "[]"), len(task.classes), name),
    )


def _scores(text: str, classes: int, name: str) -> npt.NDArray[np.float32]:
    try:
        scores = np.array(json.loads(text), dtype=np.float32).reshape(-1, classes)
    except (ValueError, TypeError, RecursionError) as error:
        raise EdgeModelError(f"{name}: metadata key `{REFERENCE_SCORES}` is damaged: {error}") from error
    return scores
