"""Losses by task, and the scores that logits mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch.nn import functional

from lt_train.metrics.config import TaskName

Loss = Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor, label_smoothing: float = 0.0) -> torch.Tensor:
    """Softmax cross entropy of each sample.

    Args:
        logits: float of shape (N, classes).
        targets: Class indices, int64 of shape (N,).
        label_smoothing: Share ε of the target that is spread over all classes: the own class gets 1 - ε + ε / classes.

    Returns:
        float32 of shape (N,), ≥ 0.
    """
    return functional.cross_entropy(logits.float(), targets, label_smoothing=label_smoothing, reduction="none")


def binary_cross_entropy(logits: torch.Tensor, targets: torch.Tensor, label_smoothing: float = 0.0) -> torch.Tensor:
    """Sigmoid cross entropy of each sample, the mean over its classes.

    Args:
        logits: float of shape (N, classes).
        targets: 0 and 1, float32 of shape (N, classes).
        label_smoothing: Share ε of each target that is spread over its two outcomes: 1 becomes 1 - ε / 2, 0 becomes
            ε / 2. Each class is a question of its own, so nothing is spread over the other classes.

    Returns:
        float32 of shape (N,), ≥ 0.
    """
    smooth = targets * (1.0 - label_smoothing) + 0.5 * label_smoothing
    return functional.binary_cross_entropy_with_logits(logits.float(), smooth, reduction="none").mean(dim=1)


LOSSES: Mapping[TaskName, Loss] = MappingProxyType({"multiclass": cross_entropy, "multilabel": binary_cross_entropy})


def scores_of(logits: torch.Tensor, task: TaskName) -> torch.Tensor:
    """Probabilities on the CPU, float32 of shape (N, classes), as `predict` gives them: softmax, or sigmoid each."""
    logits = logits.detach().float().cpu()
    return logits.softmax(dim=1) if task == "multiclass" else logits.sigmoid()
