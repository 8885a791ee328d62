"""From the output of a timm module to one vector an image."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from lt_models.backbone import Backbone
from lt_models.errors import ModelConfigError


def pooled(backbone: Backbone, pooling: str, model: str) -> Backbone:
    """The backbone with the pooling that was asked for.

    The final norm is where the model has it, before or after its pooling, whichever pooling is asked for.

    Args:
        backbone: A timm module, or one that says itself how its features are had: that one is returned as it is.
        pooling: One of `lt_models.spec.POOLINGS`.
        model: Full name, for messages.

    Raises:
        ModelConfigError: The model cannot be pooled so: it has no class token, or nothing but one.
    """
    if backbone.features is not None:
        return backbone
    module: Any = backbone.module
    own = _own_pooling(module)
    if pooling == "auto" or pooling == own:
        return Backbone(module, backbone.num_features, pre_logits)
    if "cls" in pooling and not _has_class_token(module):
        raise ModelConfigError(f"{model} has no class token: pooling may be auto or avg, not {pooling!r}")
    if "avg" in pooling and not _averages(module):
        raise ModelConfigError(f"{model} gives nothing but class tokens: pooling may be auto or cls, not {pooling!r}")
    module.reset_classifier(0, "avg" if pooling == "avg" else "token")
    if pooling == "cls+avg":
        return Backbone(module, 2 * backbone.num_features, class_token_and_mean)
    return Backbone(module, backbone.num_features, pre_logits)


def pre_logits(module: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """What a timm module's own classifier would see."""
    timm_module: Any = module
    features: torch.Tensor = timm_module.forward_head(timm_module.forward_features(images), pre_logits=True)
    return features


def class_token_and_mean(module: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Class token and mean of the patches, float of shape (N, 2 F), both through the final norm."""
    timm_module: Any = module
    tokens = timm_module.forward_features(images)
    after = getattr(timm_module, "fc_norm", None) or nn.Identity()
    return torch.cat([after(tokens[:, 0]), after(tokens[:, timm_module.num_prefix_tokens :].mean(dim=1))], dim=1)


def _own_pooling(module: Any) -> str:
    """`cls`, `avg`, or timm's word for another."""
    for holder in (module, getattr(module, "head", None)):
        pool = getattr(holder, "global_pool", None)
        kind = getattr(pool, "pool_type", pool)
        if isinstance(kind, str):
            return {"token": "cls", "fast": "avg", "fastavg": "avg"}.get(kind, kind)
    return ""


def _has_class_token(module: Any) -> bool:
    return getattr(module, "cls_token", None) is not None or _own_pooling(module) == "cls"


def _averages(module: Any) -> bool:
    """Whether timm can pool the module by a mean: of patches, unless two tokens are its output, or of places."""
    if _has_class_token(module):
        return getattr(module, "num_prefix_tokens", 0) >= 1 and not hasattr(module, "head_dist")
    return True
