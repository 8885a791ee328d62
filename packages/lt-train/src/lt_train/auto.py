"""Every "auto" rule, with its reason."""

from __future__ import annotations

import math

import attrs

from lt_data import usable_processors
from lt_train.config import TrainConfig
from lt_train.devices import check_even
from lt_train.errors import TrainConfigError

REFERENCE_BATCH_SIZE = 16
"""The batch size that `lr` is meant for."""

AUTO_LARGEST_BATCH = 256
"""On each GPU: more makes few models much faster, and larger batches learn less from each image."""

AUTO_BATCHES_AN_EPOCH = 20
"""At least so many, so that small data get enough steps."""

AUTO_EPOCHS = 30
AUTO_STEPS = (500, 100_000)
AUTO_WARMUP_STEPS = 500
AUTO_CLIP_NORM = 3.0
AUTO_WEIGHT_DECAY = 1e-4
AUTO_LAYER_DECAY, AUTO_LAYER_DECAY_BLOCKS = 0.75, 12
"""Of fine-tuned ViT-B in MAE (arXiv:2111.06377, table 9); BEiT's 0.85 for 24 blocks follows from the same stem. With
fewer blocks a stronger decay measurably harms (docs/defaults.md)."""

AUTO_VALIDATIONS = 100
AUTO_VAL_STEPS = 1000
AUTO_SAVE_STEPS = 1000
AUTO_LOG_STEPS = 100
AUTO_WORKERS = 16
"""Decoding feeds a fast GPU from so many: some 700 photographs a second each (docs, data)."""


@attrs.frozen(kw_only=True)
class Plan:
    """A run with nothing left open; numbers only.

    Attributes:
        steps: Optimiser steps.
        batch_size: Samples of one forward pass over all ranks.
        accumulation: Forward passes of one step.
        num_workers: Loader processes of each rank.
        lr: Peak learning rate, scaled to the batch.
        weight_decay: Of matrices.
        warmup_steps: Steps of linear warm-up.
        clip_norm: Largest norm of the gradient, 0 for no limit.
        layer_decay: Factor of the learning rate from a block to the one before it, 1 for none.
        feature_views: Kept views of each image where the backbone is frozen, 0 for one without augmentation; None keeps
            no features.
        log_every: Steps between training values.
        val_every: Steps between validations.
        val_log_every: Steps between validations that are logged.
        save_every: Steps between checkpoints.
    """

    steps: int
    batch_size: int
    accumulation: int
    num_workers: int
    lr: float
    weight_decay: float
    warmup_steps: int
    clip_norm: float
    layer_decay: float
    feature_views: int | None
    log_every: int
    val_every: int
    val_log_every: int
    save_every: int

    def split(self, parts: int) -> Plan:
        """The same steps in so many times as many forward passes, each as much smaller."""
        return attrs.evolve(self, batch_size=self.batch_size // parts, accumulation=self.accumulation * parts)


def largest_auto_batch(num_samples: int, world_size: int) -> int:
    """The most that `batch_size="auto"` takes where memory allows it: for each process, a power of two."""
    wanted = min(AUTO_LARGEST_BATCH, num_samples // (AUTO_BATCHES_AN_EPOCH * world_size))
    least = max(1, min(REFERENCE_BATCH_SIZE, num_samples) // world_size)
    return max(least, 1 << (wanted.bit_length() - 1) if wanted else 0)


def make_plan(
    config: TrainConfig,
    *,
    num_samples: int,
    world_size: int,
    tuned_blocks: int | None = None,
    fitting: int | None = None,
) -> tuple[Plan, dict[str, str]]:
    """Resolve all that is "auto".

    Args:
        config: The user's settings.
        num_samples: Samples in the training split.
        world_size: Processes over all nodes.
        tuned_blocks: Blocks of a transformer that starts from weights; None for other models and random weights.
        fitting: The largest batch of each process that fits in the memory of its GPU, within `largest_auto_batch`; None
            where memory does not decide.

    Returns:
        The plan, and for each resolved setting the reason.

    Raises:
        TrainConfigError: The batch does not divide evenly over the devices, `val_log_every_num_steps` is no multiple
            of `val_every_num_steps`, or features cannot be kept.
    """
    reasons: dict[str, str] = {}
    model = config.model_args
    batch_size = config.batch_size
    if batch_size == "auto":
        batch_size = _batch_size(num_samples, world_size, fitting, reasons)
    check_even(batch_size, world_size)
    accumulation = config.gradient_accumulation_steps
    if accumulation == "auto":
        accumulation = 1
        reasons["gradient_accumulation_steps"] = "every forward pass is a step"
    steps_per_epoch = num_samples / (batch_size * accumulation)
    steps = _steps(config, steps_per_epoch, reasons)
    val_every = _val_every(config, steps, steps_per_epoch, reasons)
    return (
        Plan(
            steps=steps,
            batch_size=batch_size,
            accumulation=accumulation,
            num_workers=_workers(config, world_size, reasons),
            lr=model.lr * math.sqrt(batch_size * accumulation / REFERENCE_BATCH_SIZE),
            weight_decay=_weight_decay(config, reasons),
            warmup_steps=_warmup(config, steps, reasons),
            clip_norm=_clip_norm(config, reasons),
            layer_decay=_layer_decay(config, tuned_blocks, reasons),
            feature_views=_feature_views(config, reasons),
            log_every=_log_every(config, steps, reasons),
            val_every=val_every,
            val_log_every=_val_log_every(config, val_every, reasons),
            save_every=_save_every(config, val_every, reasons),
        ),
        reasons,
    )


def _batch_size(num_samples: int, world_size: int, fitting: int | None, reasons: dict[str, str]) -> int:
    if fitting is not None:
        reasons["batch_size"] = (
            f"{world_size} x {fitting}, the largest that fits in memory, of at most {AUTO_LARGEST_BATCH} a GPU and a "
            f"{AUTO_BATCHES_AN_EPOCH}th of the {num_samples} samples"
        )
        return fitting * world_size
    reasons["batch_size"] = f"{REFERENCE_BATCH_SIZE}, at most the {num_samples} samples, a multiple of {world_size}"
    return max(1, min(REFERENCE_BATCH_SIZE, num_samples) // world_size) * world_size


def _steps(config: TrainConfig, steps_per_epoch: float, reasons: dict[str, str]) -> int:
    if config.epochs is not None:
        return max(1, round(config.epochs * steps_per_epoch))
    if config.steps != "auto":
        return config.steps
    low, high = AUTO_STEPS
    reasons["steps"] = f"{AUTO_EPOCHS} epochs of {steps_per_epoch:.1f} steps, from {low} to {high}"
    return min(high, max(low, math.ceil(AUTO_EPOCHS * steps_per_epoch)))


def _weight_decay(config: TrainConfig, reasons: dict[str, str]) -> float:
    if config.model_args.weight_decay != "auto":
        return config.model_args.weight_decay
    frozen = config.model_args.backbone_freeze is True
    reasons["model_args.weight_decay"] = "the backbone is frozen" if frozen else "more than the head is trained"
    return 0.0 if frozen else AUTO_WEIGHT_DECAY


def _warmup(config: TrainConfig, steps: int, reasons: dict[str, str]) -> int:
    """Never more than a tenth of the run, also when set: a short run would otherwise only warm up."""
    wanted = config.model_args.lr_warmup_steps
    if wanted == "auto":
        frozen = config.model_args.backbone_freeze is True
        reasons["model_args.lr_warmup_steps"] = (
            "the backbone is frozen" if frozen else f"{AUTO_WARMUP_STEPS}, a tenth of the run at most"
        )
        wanted = 0 if frozen else AUTO_WARMUP_STEPS
    elif wanted > steps // 10:
        reasons["model_args.lr_warmup_steps"] = f"{wanted} is more than a tenth of {steps} steps"
    return min(wanted, steps // 10)


def _clip_norm(config: TrainConfig, reasons: dict[str, str]) -> float:
    if config.model_args.gradient_clip_val != "auto":
        return config.model_args.gradient_clip_val
    frozen = config.model_args.backbone_freeze is True
    reasons["model_args.gradient_clip_val"] = "the backbone is frozen" if frozen else "more than the head is trained"
    return 0.0 if frozen else AUTO_CLIP_NORM


def _layer_decay(config: TrainConfig, tuned_blocks: int | None, reasons: dict[str, str]) -> float:
    asked = config.model_args.layer_decay
    if asked != "auto":
        return 1.0 if asked is None else asked
    if tuned_blocks is None or config.model_args.backbone_freeze is not False:
        reasons["model_args.layer_decay"] = "no transformer that starts from weights and is trained as a whole"
        return 1.0
    reasons["model_args.layer_decay"] = f"{tuned_blocks} blocks of a transformer that starts from weights"
    # The stem of a deeper model learns at the same rate, 3 % of the head's.
    return float(AUTO_LAYER_DECAY ** min(1.0, AUTO_LAYER_DECAY_BLOCKS / max(1, tuned_blocks)))


def _feature_views(config: TrainConfig, reasons: dict[str, str]) -> int | None:
    args = config.model_args
    obstacle = None
    if args.backbone_freeze is not True:
        obstacle = "the backbone learns, so that its features change (model_args.backbone_freeze is not True)"
    elif args.mixup_alpha or args.cutmix_alpha:
        obstacle = "mixup and cutmix make new images at every step"
    if args.feature_views == "auto":
        reasons["model_args.feature_views"] = obstacle or "the backbone is frozen, features are computed once"
        return None if obstacle else 0
    if args.feature_views is not None and obstacle:
        raise TrainConfigError(f"model_args.feature_views: features cannot be kept: {obstacle}")
    return args.feature_views


def _log_every(config: TrainConfig, steps: int, reasons: dict[str, str]) -> int:
    if config.logger_args.log_every_num_steps != "auto":
        return config.logger_args.log_every_num_steps
    reasons["logger_args.log_every_num_steps"] = f"a hundredth of the run, from 1 to {AUTO_LOG_STEPS}"
    return min(AUTO_LOG_STEPS, max(1, steps // 100))


def _val_every(config: TrainConfig, steps: int, steps_per_epoch: float, reasons: dict[str, str]) -> int:
    if config.logger_args.val_every_num_steps != "auto":
        return config.logger_args.val_every_num_steps
    reasons["logger_args.val_every_num_steps"] = (
        f"one an epoch, less often for no more than {AUTO_VALIDATIONS} in all, at most {AUTO_VAL_STEPS} steps apart"
    )
    epoch = min(AUTO_VAL_STEPS, math.ceil(steps_per_epoch))
    return max(epoch, min(AUTO_VAL_STEPS, math.ceil(steps / AUTO_VALIDATIONS)))


def _val_log_every(config: TrainConfig, val_every: int, reasons: dict[str, str]) -> int:
    asked = config.logger_args.val_log_every_num_steps
    if asked == "auto":
        reasons["logger_args.val_log_every_num_steps"] = "every validation"
        return val_every
    if asked % val_every:
        raise TrainConfigError(
            f"logger_args.val_log_every_num_steps: {asked} is no multiple of val_every_num_steps, which is {val_every}"
        )
    return asked


def _save_every(config: TrainConfig, val_every: int, reasons: dict[str, str]) -> int:
    if config.save_checkpoint_args.save_every_num_steps != "auto":
        return config.save_checkpoint_args.save_every_num_steps
    reasons["save_checkpoint_args.save_every_num_steps"] = f"every validation, at most {AUTO_SAVE_STEPS} steps apart"
    return min(AUTO_SAVE_STEPS, val_every)


def _workers(config: TrainConfig, world_size: int, reasons: dict[str, str]) -> int:
    if config.num_workers != "auto":
        return config.num_workers
    usable, processes = usable_processors(), max(1, world_size // config.num_nodes)
    reasons["num_workers"] = f"{usable} processors over {processes} processes of this machine, {AUTO_WORKERS} at most"
    return max(1, min(AUTO_WORKERS, usable // processes))
