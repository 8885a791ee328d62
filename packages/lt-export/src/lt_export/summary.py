"""What an exported model says about itself, as plain values: for `lt-export info` and the server."""

from __future__ import annotations

from typing import Any

import attrs

from lt_export.runtime.description import Description


def summary(description: Description) -> dict[str, Any]:
    """Plain values that JSON can hold.

    Returns:
        `task`, `classes` (a list of `id` and `name` in output order), `preprocessing`, `includes_preprocessing`,
        `precision`, `lt_export_version`, `checkpoint_sha256` (None where it is not known) and `reference_images`, the
        number of images that a self-test compares.
    """
    return {
        "task": description.task.task,
        "classes": [{"id": label, "name": name} for label, name in description.task.classes.as_dict().items()],
        "preprocessing": attrs.asdict(description.task.preprocessing),
        "includes_preprocessing": description.includes_preprocessing,
        "precision": description.precision,
        "lt_export_version": description.version,
        "checkpoint_sha256": description.checkpoint_sha256 or None,
        "reference_images": len(description.reference_scores),
    }
