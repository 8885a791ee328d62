"""What an ONNX file says about itself."""

from __future__ import annotations

from collections.abc import Mapping

from lt_data import TaskSpec, TaskSpecError
from lt_export.errors import EdgeModelError

TASK_SPEC = "lt_task_spec"
"""Metadata key of the TaskSpec's JSON, from which the runtime reads everything."""

INPUT_NAME = "images"
"""Input: float32 of shape (N, C, height, width), preprocessed."""
OUTPUT_NAME = "scores"
"""Output: float32 of shape (N, classes), probabilities."""


def to_metadata(task: TaskSpec, version: str) -> dict[str, str]:
    """Metadata of a model file: the TaskSpec, and plain keys for viewers."""
    height, width = task.preprocessing.image_size
    return {
        TASK_SPEC: task.to_json(),
        "task": task.task,
        "names": ", ".join(f"{i}: {name}" for i, name in task.classes.as_dict().items()),
        "image_size": f"{height}x{width}",
        "producer": f"lt-export {version}",
    }


def from_metadata(metadata: Mapping[str, str], name: str) -> TaskSpec:
    """The TaskSpec of a model file.

    Args:
        metadata: The file's metadata.
        name: The file, for the message.

    Raises:
        EdgeModelError: There is none, or it is damaged or too new.
    """
    if TASK_SPEC not in metadata:
        raise EdgeModelError(
            f"{name}: has no TaskSpec (metadata key `{TASK_SPEC}`), so its classes and preprocessing are unknown; "
            "export it with lightly-train's export_onnx"
        )
    try:
        return TaskSpec.from_json(metadata[TASK_SPEC])
    except TaskSpecError as error:
        raise EdgeModelError(f"{name}: {error}") from error
