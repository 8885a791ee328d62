"""From what the user asked of the images, and what the model wants, to one preprocessing each for train and val."""

from __future__ import annotations

from itertools import cycle, islice

import attrs

from lt_data.errors import ConfigError, Problem
from lt_data.images.decoding import Decoding
from lt_data.task import Preprocessing
from lt_data.transform_config import ChannelDrop, TransformConfig


@attrs.frozen
class ResolvedTransforms:
    """The geometry and normalisation of both phases.

    Attributes:
        train: Size and normalisation in training; its crop is used when `random_crop` is off.
        val: What validation, `predict` and the edge do.
    """

    train: Preprocessing
    val: Preprocessing


def resolve_transforms(
    config: TransformConfig, model: Preprocessing, decoding: Decoding | None = None
) -> ResolvedTransforms:
    """Fill in what `config` leaves open from what the model was made for.

    Args:
        config: The user's wishes.
        model: The model's own preprocessing, for any number of channels: mean and std are repeated in turn, or
            averaged for one channel.
        decoding: How files become pixels, from the user's `data`; None takes the model's own.

    Raises:
        ConfigError: `normalize` or `channel_drop` does not fit the number of channels.
    """
    channels = model.num_channels if config.num_channels == "auto" else config.num_channels
    if config.normalize == "auto":
        mean, std = _channels(model.mean, channels), _channels(model.std, channels)
    else:
        mean, std = config.normalize.mean, config.normalize.std
    if not len(mean) == len(std) == channels:
        what = f"needs one mean and one std for each of {channels} channels, got {len(mean)} and {len(std)}"
        raise ConfigError([Problem("transform_args.normalize", what)])
    if config.channel_drop is not None:
        _check_channel_drop(config.channel_drop, channels)
    train = attrs.evolve(
        model,
        image_size=model.image_size if config.image_size == "auto" else config.image_size,
        num_channels=channels,
        resize_mode=model.resize_mode if config.resize_mode == "auto" else config.resize_mode,
        resize_scale=config.resize_scale or model.resize_scale,
        mean=mean,
        std=std,
        decoding=model.decoding if decoding is None else decoding,
    )
    val = attrs.evolve(
        train,
        image_size=config.val.image_size or train.image_size,
        resize_scale=config.val.resize_scale or model.resize_scale,
    )
    return ResolvedTransforms(train, val)


def _check_channel_drop(drop: ChannelDrop, channels: int) -> None:
    droppable = sum(weight > 0 for weight in drop.weight_drop)
    where = "transform_args.channel_drop"
    if len(drop.weight_drop) != channels:
        what = f"weight_drop needs one value for each of {channels} channels, got {len(drop.weight_drop)}"
        raise ConfigError([Problem(where, what)])
    least = max(1, channels - droppable)
    if not least <= drop.num_channels_keep <= channels:
        what = f"num_channels_keep must be from {least} to {channels}, got {drop.num_channels_keep}"
        raise ConfigError([Problem(where, f"{what}; {droppable} channels have a weight_drop above 0")])


def _channels(values: tuple[float, ...], count: int) -> tuple[float, ...]:
    if count == len(values):
        return values
    if count == 1:
        return (sum(values) / len(values),)
    return tuple(islice(cycle(values), count))
