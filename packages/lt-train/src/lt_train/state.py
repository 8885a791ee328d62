"""What a run knows beside its weights; all of it is in the checkpoint."""

from __future__ import annotations

import math

import attrs
import torch


@attrs.frozen
class Best:
    """The best validation so far.

    Attributes:
        step: When it was.
        value: Of the watched metric.
        metrics: All of its values by logged name.
    """

    step: int
    value: float
    metrics: dict[str, float]


@attrs.define
class TrainState:
    """Progress of a run.

    Attributes:
        step: Optimiser steps done.
        best: None before the first validation.
        latest: Values of the latest validation.
        loss_sum: Sum of the training losses since they were last logged, of shape ().
        loss_count: How many are in it.
    """

    step: int
    best: Best | None
    latest: dict[str, float]
    loss_sum: torch.Tensor
    loss_count: int

    @classmethod
    def fresh(cls, device: torch.device) -> TrainState:
        """The state before the first step."""
        return cls(0, None, {}, torch.zeros((), device=device), 0)


def improves(value: float, best: Best | None, *, lower_is_better: bool) -> bool:
    """Whether a validation is the best so far; NaN never is, and a tie keeps the earlier one."""
    if math.isnan(value):
        return False
    if best is None:
        return True
    return value < best.value if lower_is_better else value > best.value
