"""What the exports of a model have in common."""

from __future__ import annotations

import attrs

from lt_data import TaskSpec
from lt_export import ExportError


def task_of_size(task: TaskSpec, height: int | None, width: int | None) -> TaskSpec:
    """The task with inputs of another height and width in pixels; None keeps the model's own.

    Raises:
        ExportError: One of them is not positive.
    """
    own = task.preprocessing
    size = (own.image_size[0] if height is None else height, own.image_size[1] if width is None else width)
    if min(size) < 1:
        raise ExportError(f"height and width must be at least 1, got {size}")
    return attrs.evolve(task, preprocessing=attrs.evolve(own, image_size=size))
