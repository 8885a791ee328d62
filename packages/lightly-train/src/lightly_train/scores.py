"""From logits to scores."""

from __future__ import annotations

import torch

from lt_data import TaskSpec
from lt_train.metrics.plan import LOSS, VAL


def probabilities(logits: torch.Tensor, task: TaskSpec) -> torch.Tensor:
    """Scores of logits, float32, both of shape (N, classes): softmax or sigmoid after the task's temperature."""
    if task.calibration.temperature != 1.0:
        logits = logits / task.calibration.temperature
    return logits.softmax(dim=1) if task.task == "multiclass" else logits.sigmoid()


def depends_on_temperature(name: str) -> bool:
    """Whether a logged metric follows from how sure scores are, and not from their order or a threshold of 0.5."""
    return name in (LOSS, f"{VAL}expected_calibration_error")
