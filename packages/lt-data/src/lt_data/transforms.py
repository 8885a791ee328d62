"""From what the user asked of the images, and what the model wants, to one preprocessing each for train and val."""

from __future__ import annotations

from itertools import cycle, islice

import attrs

from lt_data.config import TransformConfig
from lt_data.task import Preprocessing


@attrs.frozen
class ResolvedTransforms:
    """The geometry and normalisation of both phases.

    Attributes:
        train: Size and normalisation in training; its crop is used when `random_crop` is off.
        val: What validation, `predict` and the edge do.
    """

    train: Preprocessing
    val: Preprocessing


def resolve_transforms(config: TransformConfig, model: Preprocessing) -> ResolvedTransforms:
    """Fill in what `config` leaves open from what the model was made for.

    Args:
        config: The user's wishes.
        model: The model's own preprocessing, for any number of channels: mean and std are repeated in turn, or
            averaged for one channel.
    """
    mean, std = (
        (_channels(model.mean, config.num_channels), _channels(model.std, config.num_channels))
        if config.normalize == "auto"
        else (config.normalize.mean, config.normalize.std)
    )
    train = attrs.evolve(
        model,
        image_size=model.image_size if config.image_size == "auto" else config.image_size,
        num_channels=config.num_channels,
        mean=mean,
        std=std,
    )
    val = attrs.evolve(
        train,
        image_size=config.val.image_size or train.image_size,
        resize_scale=config.val.resize_scale or model.resize_scale,
    )
    return ResolvedTransforms(train, val)


def _channels(values: tuple[float, ...], count: int) -> tuple[float, ...]:
    if count == 1:
        return (sum(values) / len(values),)
    return tuple(islice(cycle(values), count))
