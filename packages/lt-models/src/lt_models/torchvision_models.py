"""Backbones of torchvision."""

from __future__ import annotations

import logging
import os
import pickle
from typing import Any

import torchvision
from torch import hub, nn

from lt_models.catalog import Backbone
from lt_models.errors import ModelConfigError, WeightsError
from lt_models.names import NOT_PRETRAINED, ModelName
from lt_models.spec import ClassifierSpec, ModelInput

logger = logging.getLogger(__name__)

UNSUPPORTED = frozenset({"googlenet", "inception_v3", "squeezenet1_0", "squeezenet1_1"})
"""Models that do not end in one linear layer: auxiliary heads, or a convolution as head."""


def names() -> list[str]:
    """Torchvision's classification models."""
    return [name for name in torchvision.models.list_models(module=torchvision.models) if name not in UNSUPPORTED]


def model_input(model: str) -> ModelInput:
    """What the transforms of the default weights say."""
    weights = torchvision.models.get_model_weights(model).DEFAULT
    card = weights.transforms()
    crop, resize = card.crop_size[0], card.resize_size[0]
    return ModelInput(
        image_size=(crop, crop),
        mean=tuple(card.mean),
        std=tuple(card.std),
        interpolation=card.interpolation.value,
        resize_scale=max(1.0, resize / crop),
    )


def build(name: ModelName, spec: ClassifierSpec, *, pretrained: bool) -> Backbone:
    """A torchvision model whose last linear layer is taken off."""
    if spec.num_channels != 3:
        raise ModelConfigError(f"torchvision models take 3 channels, not {spec.num_channels}; a timm model takes any")
    size = {"image_size": spec.image_size[0]} if name.model.startswith("vit_") and not pretrained else {}
    module = _create(name.model, pretrained=pretrained, **size)
    path, layer = [(path, layer) for path, layer in module.named_modules() if isinstance(layer, nn.Linear)][-1]
    parent, _, leaf = path.rpartition(".")
    setattr(module.get_submodule(parent), leaf, nn.Identity())
    return Backbone(module, layer.in_features)


def _create(model: str, *, pretrained: bool, **arguments: Any) -> nn.Module:
    module: nn.Module = torchvision.models.get_model(model, weights=None, **arguments)
    if not pretrained:
        return module
    weights = torchvision.models.get_model_weights(model).DEFAULT
    cache = os.environ.get("LIGHTLY_TRAIN_MODEL_CACHE_DIR")
    logger.info("model: torchvision/%s, weights %s", model, weights.url)
    try:
        state = hub.load_state_dict_from_url(
            weights.url, model_dir=cache, map_location="cpu", check_hash=True, weights_only=True
        )
        module.load_state_dict(state)
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise WeightsError(
            f"cannot get the weights of torchvision/{model} ({weights.url}): {error}\n"
            "Without a network, put that file into the folder named by LIGHTLY_TRAIN_MODEL_CACHE_DIR, or train from "
            f"random weights with torchvision/{model}{NOT_PRETRAINED}"
        ) from error
    return module
