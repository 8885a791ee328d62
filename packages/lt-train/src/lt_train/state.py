"""What a run knows beside its weights; all of it is in the checkpoint."""

from __future__ import annotations

import math

import attrs
import torch

from lt_train.metrics.plan import LESS_IS_BETTER, LOSS
from lt_train.metrics.tally import ClassTable, Tally


@attrs.frozen
class Validation:
    """What a validation found.

    Attributes:
        step: When it was.
        metrics: Its values by logged name.
        table: Figures of each class.
    """

    step: int
    metrics: dict[str, float]
    table: ClassTable


@attrs.frozen
class Patience:
    """What early stopping remembers.

    Attributes:
        best: Value of the last validation that counted as an improvement, None before the first.
        waited: Validations since then.
    """

    best: float | None = None
    waited: int = 0

    def after(self, value: float, *, min_delta: float, less_is_better: bool) -> Patience:
        """The same after another validation; less than `min_delta` better is no improvement."""
        threshold = self.best
        if threshold is not None:
            threshold += -min_delta if less_is_better else min_delta
        if improves(value, threshold, less_is_better=less_is_better):
            return Patience(value, 0)
        return Patience(self.best, self.waited + 1)


@attrs.define
class TrainState:
    """Progress of a run.

    Attributes:
        step: Optimiser steps done.
        best: The best validation by the watched metric, None before there is one.
        latest: The latest validation, None before the first.
        loss_sum: Sum of the training losses since they were last logged, of shape ().
        loss_count: How many are in it, of shape ().
        patience: How long the watched metric has not improved.
        tally: Training batches since they were last logged, None where they are not measured.
        skipped: Steps whose loss or gradient was not finite, of shape (); they count as steps.
        skipped_in_a_row: How many of the last steps, of shape ().
        validation_due: The validation of this step was put off by a stop; a resumed run begins with it.
        split: Into how many smaller ones each forward pass was split, for lack of memory.
    """

    step: int
    best: Validation | None
    latest: Validation | None
    loss_sum: torch.Tensor
    loss_count: torch.Tensor
    patience: Patience
    tally: Tally | None
    skipped: torch.Tensor
    skipped_in_a_row: torch.Tensor
    validation_due: bool = False
    split: int = 1

    @classmethod
    def fresh(cls, device: torch.device, tally: Tally | None) -> TrainState:
        """The state before the first step."""
        zeros = [torch.zeros((), device=device) for _ in range(4)]
        return cls(0, None, None, zeros[0], zeros[1], Patience(), tally, zeros[2], zeros[3])

    def count(self, loss: torch.Tensor, skipped: torch.Tensor) -> None:
        """Count a step, without asking the device how it went.

        Args:
            loss: Its loss, of shape ().
            skipped: Whether it was skipped, bool of shape ().
        """
        self.step += 1
        self.loss_sum += loss.masked_fill(skipped, 0.0)
        self.loss_count += ~skipped
        self.skipped += skipped
        self.skipped_in_a_row = (self.skipped_in_a_row + 1.0) * skipped

    @property
    def metrics(self) -> dict[str, float]:
        """Values of the latest validation."""
        return self.latest.metrics if self.latest else {}


def improves(value: float, best: float | None, *, less_is_better: bool) -> bool:
    """Whether a value is better than the best so far; NaN never is, nor is the same value."""
    if math.isnan(value):
        return False
    if best is None:
        return True
    return value < best if less_is_better else value > best


def is_best(found: Validation, best: Validation | None, watched: str) -> bool:
    """Whether a validation is better than the best so far by the watched metric, or as good with a lower loss.

    Small splits have few values of a metric, so that ties are common; the later of two is often the surer model.
    """
    value, less = found.metrics[watched], watched in LESS_IS_BETTER
    if best is None or value != best.metrics[watched]:
        return improves(value, None if best is None else best.metrics[watched], less_is_better=less)
    return found.metrics[LOSS] < best.metrics[LOSS]
