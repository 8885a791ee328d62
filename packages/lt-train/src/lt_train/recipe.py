"""What a run learns with, settled before it starts: loss, mixing, and how samples are drawn."""

from __future__ import annotations

import attrs
import numpy as np
import numpy.typing as npt
import torch

from lt_data import SampleIndex, TaskSpec
from lt_train.class_weights import balanced_draws, class_weights
from lt_train.config import ModelArgs, TrainConfig
from lt_train.losses import Loss, make_loss
from lt_train.metrics.config import TaskName
from lt_train.mixing import Mixing


@attrs.frozen(eq=False)
class Recipe:
    """The parts of training that follow from settings and data alone.

    Attributes:
        args: The loss and its settings.
        task: Of the loss.
        weights: Of each class in the loss, float32 of shape (classes,), on the CPU; None for none.
        mixing: Of images and targets; does nothing where it is off.
        draws: Weight of each training sample, float64 of shape (samples,); None shows each once an epoch.
    """

    args: ModelArgs
    task: TaskName
    weights: torch.Tensor | None
    mixing: Mixing
    draws: npt.NDArray[np.float64] | None

    def loss_on(self, device: torch.device) -> Loss:
        """The loss of each sample, for logits and targets on a device.

        Raises:
            TrainConfigError: The task has no such loss.
        """
        return make_loss(self.args, self.task, None if self.weights is None else self.weights.to(device))


def make_recipe(config: TrainConfig, task: TaskSpec, train: SampleIndex) -> Recipe:
    """Settle it.

    Raises:
        TrainConfigError: The task has no such loss, or `class_weights` names no class.
    """
    args = config.model_args
    recipe = Recipe(
        args=args,
        task=task.task,
        weights=class_weights(args.class_weights, task.task, task.classes, train),
        mixing=Mixing(args.mixup_alpha, args.cutmix_alpha, config.seed),
        draws=balanced_draws(train, len(task.classes)) if args.sampler == "balanced" else None,
    )
    recipe.loss_on(torch.device("cpu"))  # refuses what the task does not have
    return recipe
