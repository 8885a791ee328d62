"""A run's plan on the devices that it has."""

from __future__ import annotations

import logging

import attrs
from lightning_fabric import Fabric

from lt_models import Classifier
from lt_train.auto import Plan, largest_auto_batch, make_plan
from lt_train.checkpoint import Checkpoint
from lt_train.config import TrainConfig
from lt_train.data import TrainData
from lt_train.device_memory import Trial, fitting_parts, largest_fitting

logger = logging.getLogger(__name__)


def plan_run(
    fabric: Fabric,
    classifier: Classifier,
    data: TrainData,
    config: TrainConfig,
    checkpoint: Checkpoint | None,
    *,
    has_weights: bool,
) -> tuple[Plan, dict[str, str], int]:
    """Resolve all that is "auto"; on GPUs, try what fits in their memory.

    Args:
        fabric: The run's.
        classifier: On the device, and frozen where it is to be.
        data: What it learns from.
        config: The user's settings.
        checkpoint: Of the interrupted run, whose batch size is kept.
        has_weights: Whether the backbone starts from weights.

    Returns:
        The plan, for each resolved setting the reason, and into how many parts each forward pass must be split.

    Raises:
        TrainConfigError: Settings do not go together; see `make_plan`.
        DeviceMemoryError: Not even a single image fits.
    """
    size, world = len(data.train), fabric.world_size
    tuned = classifier.num_blocks if has_weights and not classifier.is_convolutional else None
    auto = config.batch_size == "auto"
    if checkpoint is not None and auto:
        config = attrs.evolve(config, batch_size=checkpoint.batch_size)
    plan, reasons = make_plan(config, num_samples=size, world_size=world, tuned_blocks=tuned)
    # Kept features need little memory; a sharded model is not whole before it is set up.
    tries = fabric.device.type == "cuda" and plan.feature_views is None and config.strategy != "fsdp"
    if checkpoint is not None or not tries:
        return plan, reasons, 1
    trial = Trial(fabric, classifier, data.augmentation.preprocessing)
    if auto:
        fitting = largest_fitting(trial, largest_auto_batch(size, world))
        return *make_plan(config, num_samples=size, world_size=world, tuned_blocks=tuned, fitting=fitting), 1
    # A single process finds out in its first step. Several would wait for the one that has no memory.
    return plan, reasons, fitting_parts(trial, plan.batch_size // world) if world > 1 else 1
