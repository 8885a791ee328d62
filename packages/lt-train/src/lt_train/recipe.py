"""What a run learns with, settled before it starts: loss, mixing, and how samples are drawn."""

from __future__ import annotations

import attrs
import numpy as np
import numpy.typing as npt

from lt_data import SampleIndex, TaskSpec
from lt_train.class_weights import balanced_draws, class_weights
from lt_train.config import TrainConfig
from lt_train.losses import Loss, make_loss
from lt_train.mixing import Mixing


@attrs.frozen(eq=False)
class Recipe:
    """The parts of training that follow from settings and data alone.

    Attributes:
        loss: Of each sample.
        mixing: Of images and targets; does nothing where it is off.
        draws: Weight of each training sample, float64 of shape (samples,); None shows each once an epoch.
    """

    loss: Loss
    mixing: Mixing
    draws: npt.NDArray[np.float64] | None


def make_recipe(config: TrainConfig, task: TaskSpec, train: SampleIndex) -> Recipe:
    """Settle it.

    Raises:
        TrainConfigError: The task has no such loss, or `class_weights` names no class.
    """
    args = config.model_args
    weights = class_weights(args.class_weights, task.task, task.classes, train)
    return Recipe(
        loss=make_loss(args, task.task, weights),
        mixing=Mixing(args.mixup_alpha, args.cutmix_alpha, config.seed),
        draws=balanced_draws(train, len(task.classes)) if args.sampler == "balanced" else None,
    )
