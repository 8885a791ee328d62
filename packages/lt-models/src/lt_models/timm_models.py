"""Backbones of timm."""

from __future__ import annotations

import logging
import os
from typing import Any

import timm
from torch import nn

from lt_models.catalog import Backbone
from lt_models.errors import ModelConfigError, UnknownModelError, WeightsError
from lt_models.names import NOT_PRETRAINED, ModelName
from lt_models.spec import ClassifierSpec, ModelInput

logger = logging.getLogger(__name__)

INTERPOLATIONS = {"bilinear": "bilinear", "bicubic": "bicubic"}


DEFAULT_CARD: dict[str, Any] = {
    "input_size": (3, 224, 224),
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "interpolation": "bicubic",
    "crop_pct": 0.875,
}
"""What timm assumes where a card is silent."""


def names() -> list[str]:
    """Timm's architectures; a tag may follow, as in `resnet18.a1_in1k`."""
    found: list[str] = timm.list_models()
    return found


def model_input(model: str) -> ModelInput:
    """What timm's card of the model says."""
    card = _card(model)
    _, height, width = card.get("test_input_size") or card["input_size"]
    return ModelInput(
        image_size=(height, width),
        mean=tuple(card["mean"]),
        std=tuple(card["std"]),
        interpolation=INTERPOLATIONS.get(card["interpolation"], "bicubic"),
        resize_scale=1 / (card.get("test_crop_pct") or card["crop_pct"]),
    )


def build(name: ModelName, spec: ClassifierSpec, *, pretrained: bool) -> Backbone:
    """A timm model without its head: pooling, norm and pre-logits layers are the model's own."""
    card = _card(name.model)
    if pretrained and not any(card.get(key) for key in ("hf_hub_id", "url", "file")):
        raise WeightsError(f"timm publishes no weights for {name.model}; use timm/{name.model}{NOT_PRETRAINED}")
    size = {"img_size": spec.image_size} if card.get("fixed_input_size") else {}
    module = _create(name.model, pretrained=pretrained, in_chans=spec.num_channels, **size)
    num_features: int = getattr(module, "head_hidden_size", None) or module.num_features  # type: ignore[assignment]  # untyped
    return Backbone(module, num_features)


def _create(model: str, *, pretrained: bool, **arguments: Any) -> nn.Module:
    cache = os.environ.get("LIGHTLY_TRAIN_MODEL_CACHE_DIR")
    if pretrained:
        card = _card(model)
        logger.info("model: timm/%s, weights %s", model, card.get("hf_hub_id") or card.get("url"))
    try:
        module: nn.Module = timm.create_model(
            model, pretrained=pretrained, num_classes=0, cache_dir=cache if pretrained else None, **arguments
        )
    # The hub's client, its HTTP library and timm each raise types of their own; none may end in random weights.
    except Exception as error:
        if not pretrained:
            raise ModelConfigError(f"timm cannot build {model} with {arguments}: {error}") from error
        card = _card(model)
        raise WeightsError(
            f"cannot get the weights of timm/{model} ({card.get('hf_hub_id') or card.get('url')}): {error}\n"
            f"Without a network, fill the cache folder on a machine that has one and set "
            f"LIGHTLY_TRAIN_MODEL_CACHE_DIR to it, or train from random weights with timm/{model}{NOT_PRETRAINED}"
        ) from error
    return module


def _card(model: str) -> dict[str, Any]:
    architecture, _, tag = model.partition(".")
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        raise UnknownModelError(f"timm/{model}", [f"timm/{architecture}.{known}" for known in tags[:5]])
    config: Any = timm.get_pretrained_cfg(model)
    card: dict[str, Any] = config.to_dict() if config else {}
    return {**DEFAULT_CARD, **{key: value for key, value in card.items() if value is not None}}
