"""What an exported model says about itself, as plain values: for `lt-export info` and the server."""

from __future__ import annotations

from typing import Any

import attrs

from lt_export.runtime.description import Description
from lt_export.runtime.runner import BatchLimits


def summary(description: Description, batch: BatchLimits) -> dict[str, Any]:
    """Plain values that JSON can hold.

    Args:
        description: Of the model.
        batch: Numbers of images that it takes at once.

    Returns:
        `task`, `classes` (a list of `id` and `name` in output order), `preprocessing`, `includes_preprocessing`,
        `min_batch_size` and `max_batch_size` (None where any number is taken), `precision`, `lt_export_version`,
        `checkpoint_sha256` (None where it is not known) and `reference_images`, the number of images that a self-test
        compares.
    """
    return {
        "task": description.task.task,
        "classes": [{"id": label, "name": name} for label, name in description.task.classes.as_dict().items()],
        "preprocessing": attrs.asdict(description.task.preprocessing),
        "includes_preprocessing": description.includes_preprocessing,
        "min_batch_size": batch.smallest,
        "max_batch_size": batch.largest,
        "precision": description.precision,
        "lt_export_version": description.version,
        "checkpoint_sha256": description.checkpoint_sha256 or None,
        "reference_images": len(description.reference_scores),
    }
