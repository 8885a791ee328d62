"""From logits to scores."""

from __future__ import annotations

import torch

from lt_data import TaskSpec
from lt_train import scores_of
from lt_train.metrics import LOSS, VAL


def probabilities(logits: torch.Tensor, task: TaskSpec) -> torch.Tensor:
    """Scores of logits, float32 on the CPU, both (N, classes): softmax or sigmoid after the task's temperature."""
    if task.calibration.temperature != 1.0:
        logits = logits / task.calibration.temperature
    return scores_of(logits, task.task)


def depends_on_temperature(name: str) -> bool:
    """Whether a logged metric follows from how sure scores are, and not from their order or a threshold of 0.5."""
    return name in (LOSS, f"{VAL}expected_calibration_error")
