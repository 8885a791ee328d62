"""A pass over the validation split, with the scores that `predict` gives."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from torch import nn
from torch.nn import functional

from lt_train.metrics.multiclass import MulticlassCounts, metric_names

Number = TypeVar("Number", bound=np.generic)

WATCHED = "val_metric/top1_acc_micro"
LOSS = "val_loss"


def watchable(num_classes: int) -> list[str]:
    """Logged names of all validation values."""
    return [LOSS, *(f"val_metric/{name}" for name in metric_names(num_classes))]


@torch.no_grad()
def validate(
    fabric: Fabric,
    classifier: nn.Module,
    batches: Iterable[tuple[torch.Tensor, torch.Tensor]],
    num_classes: int,
) -> dict[str, float]:
    """Validation values by logged name, equal for any number of ranks and any batch size up to rounding of the model.

    The model runs in evaluation mode and in the precision of its weights, as exported models do, whatever precision
    it is trained in.
    """
    training = classifier.training
    classifier.eval()
    counts = MulticlassCounts(num_classes)
    loss_sum, seen = 0.0, 0
    weight_type = next(classifier.parameters()).dtype
    for images, targets in batches:
        logits = classifier(images.to(fabric.device, weight_type, non_blocking=True)).float().cpu()
        scores = logits.softmax(dim=1)
        loss_sum += float(functional.cross_entropy(logits, targets, reduction="sum"))
        seen += len(targets)
        counts.update(scores.numpy(), targets.numpy())
    classifier.train(training)
    counts.reduce(lambda array: _sum_over_ranks(fabric, array))
    loss, total = _sum_over_ranks(fabric, np.array([loss_sum, seen], dtype=np.float64))
    metrics = {f"val_metric/{name}": value for name, value in counts.compute().items()}
    return {LOSS: float(loss) / max(1.0, float(total)), **metrics}


def _sum_over_ranks(fabric: Fabric, array: npt.NDArray[Number]) -> npt.NDArray[Number]:
    if fabric.world_size == 1:
        return array
    total = fabric.all_reduce(torch.from_numpy(array).to(fabric.device), reduce_op="sum")
    assert isinstance(total, torch.Tensor)
    summed: npt.NDArray[Number] = total.cpu().numpy()
    return summed
