"""What is found out about a run before its first step."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lt_data import ImageDecodeError, SampleIndex, TaskSpec, load_image
from lt_models import Classifier, set_train_mode
from lt_train.auto import Plan
from lt_train.data import TrainData
from lt_train.errors import TrainConfigError
from lt_train.metrics.build import is_classwise
from lt_train.metrics.plan import VAL, WATCHED, MetricPlan

TRIED_IMAGES = 5
"""Where bad images are skipped, so many of a split are tried before all of them are taken to be of the wrong kind."""


def check_watched(watched: str, plan: MetricPlan, val: SampleIndex) -> None:
    """Look whether a watched metric of one class is ever defined; how many images have the class decides that.

    Raises:
        TrainConfigError: It is not, so that no model would be the best.
    """
    if not is_classwise(watched):
        return
    key, _, name = watched.removeprefix(VAL).partition("/")
    count = np.count_nonzero(val.labels == plan.classes.index(name))
    if count == 0:
        problem, missing = f"no validation image has class {name!r}", "with it"
    elif key == "auroc" and count == len(val):
        problem, missing = f"every validation image has class {name!r}", "without it"
    else:
        return
    raise TrainConfigError(
        f"metric_args.watch_metric: {watched!r} is never defined, so no model would be the best: {problem}. Validate "
        f"on images {missing} too, or watch another metric, such as {WATCHED[plan.task]!r}"
    )


@torch.no_grad()
def check_input_sizes(classifier: Classifier, task: TaskSpec, data: TrainData) -> None:
    """Run the model once at each image size, so that a size it cannot take is found before training.

    Raises:
        TrainConfigError: The model cannot take such images.
    """
    training = classifier.training
    classifier.eval()
    for channels, (height, width) in {
        (spec.num_channels, spec.image_size) for spec in (data.augmentation.preprocessing, task.preprocessing)
    }:
        try:
            classifier(torch.zeros(1, channels, height, width))
        # Models of many authors refuse a size by exceptions of many types.
        except Exception as error:
            raise TrainConfigError(
                f"transform_args.image_size: {classifier.spec.model} cannot take images of {height} x {width} pixels "
                f"and {channels} channels: {error}"
            ) from error
    classifier.train(training)


@torch.no_grad()
def check_batch_norm(classifier: Classifier, data: TrainData, plan: Plan, world_size: int) -> None:
    """Where each process has one image at a time, look whether batch normalisation has more than one value of it.

    Args:
        classifier: Frozen where it is to be.
        data: Says how large images are.
        plan: Says how many images there are at once.
        world_size: Number of processes.

    Raises:
        TrainConfigError: One that learns sees a single value a channel, of which there is no variance.
    """
    if plan.batch_size != world_size:
        return
    training, spec = classifier.training, data.augmentation.preprocessing
    set_train_mode(classifier)
    learning = {name: module for name, module in classifier.named_modules() if _uses_batch(module)}
    classifier.eval()
    single: list[str] = []
    hooks = [
        module.register_forward_pre_hook(lambda _, given, name=name: single.extend([name] * _is_single(given[0])))
        for name, module in learning.items()
    ]
    like = next(classifier.parameters())
    classifier(torch.zeros(1, spec.num_channels, *spec.image_size, dtype=like.dtype, device=like.device))
    for hook in hooks:
        hook.remove()
    classifier.train(training)
    if single:
        height, width = spec.image_size
        over = f" for each of {world_size} processes" if world_size > 1 else ""
        raise TrainConfigError(
            f"batch_size: {plan.batch_size} is one image at a time{over}; of {height} x {width} pixels batch "
            f"normalisation has a single value a channel in {single[0]}, from which it cannot learn. Set batch_size to "
            f"{2 * world_size} or more, or a larger transform_args.image_size"
        )


def _uses_batch(module: nn.Module) -> bool:
    return isinstance(module, _BatchNorm) and module.training


def _is_single(images: torch.Tensor) -> bool:
    return images.numel() == images.shape[1]


def check_first_images(task: TaskSpec, data: TrainData) -> None:
    """Read an image of each split, so that images of another kind than asked for are found before training.

    Raises:
        ImageDecodeError: The first image, or each of the first few where bad ones are skipped, does not have
            `num_channels`, or is broken.
    """
    evaluated = [data.val] if data.test is None else [data.val, data.test]
    splits = [(data.train, data.augmentation.preprocessing), *((samples, task.preprocessing) for samples in evaluated)]
    for samples, spec in splits:
        last = 0 if data.on_bad_image == "error" else min(len(samples), TRIED_IMAGES) - 1
        for sample in range(last + 1):
            try:
                load_image(samples.image(sample), spec.num_channels, spec.decoding)
                break
            except ImageDecodeError:
                if sample == last:
                    raise
