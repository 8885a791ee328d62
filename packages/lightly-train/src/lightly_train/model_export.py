"""What the exports of a model have in common."""

from __future__ import annotations

import attrs

from lt_data import TaskSpec, is_whole
from lt_export import ExportError


def task_of_size(task: TaskSpec, height: int | None, width: int | None) -> TaskSpec:
    """The task with inputs of another height and width in pixels; None keeps the model's own.

    Raises:
        ExportError: One of them is no integer of at least 1.
    """
    own = task.preprocessing
    size = (own.image_size[0] if height is None else height, own.image_size[1] if width is None else width)
    for name, given in zip(("height", "width"), size, strict=True):
        if not is_whole(given) or given < 1:
            raise ExportError(f"{name} must be an integer of at least 1, in pixels, got {given!r}")
    return attrs.evolve(task, preprocessing=attrs.evolve(own, image_size=size))
