"""What an exported model says about itself, as plain values: for `lt-export info` and the server."""

from __future__ import annotations

from typing import Any

import attrs

from lt_data import TaskSpec
from lt_export.runtime.description import Description
from lt_export.runtime.runner import BatchLimits


def summary(description: Description, batch: BatchLimits) -> dict[str, Any]:
    """Plain values that JSON can hold.

    Args:
        description: Of the model.
        batch: Numbers of images that it takes at once.

    Returns:
        `task`, `classes` (a list of `id` and `name` in output order), `preprocessing`, `calibration` (`temperature`, 1
        where none was fitted, and `thresholds`, a list of `id`, `name` and `threshold`, None where there are none),
        `includes_preprocessing`, `min_batch_size` and `max_batch_size` (None where any number is taken), `precision`,
        `lt_export_version`, `checkpoint_sha256` (None where it is not known) and `reference_images`, the number of
        images that a self-test compares.
    """
    return {
        "task": description.task.task,
        "classes": [{"id": label, "name": name} for label, name in description.task.classes.as_dict().items()],
        "preprocessing": attrs.asdict(description.task.preprocessing),
        "calibration": _calibration(description.task),
        "includes_preprocessing": description.includes_preprocessing,
        "min_batch_size": batch.smallest,
        "max_batch_size": batch.largest,
        "precision": description.precision,
        "lt_export_version": description.version,
        "checkpoint_sha256": description.checkpoint_sha256 or None,
        "reference_images": len(description.reference_scores),
    }


def _calibration(task: TaskSpec) -> dict[str, Any]:
    own = task.calibration.thresholds
    return {
        "temperature": task.calibration.temperature,
        "thresholds": None
        if own is None
        else [
            {"id": label, "name": name, "threshold": threshold}
            for (label, name), threshold in zip(task.classes.as_dict().items(), own, strict=True)
        ],
    }
