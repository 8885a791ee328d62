"""What a source of backbones hands over."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import torch
from torch import nn

Features = Callable[[nn.Module, torch.Tensor], torch.Tensor]
"""From a backbone and normalised images of shape (N, C, H, W) to pooled features of shape (N, F)."""


@attrs.frozen
class Backbone:
    """A module without its classifier, and how its features are had.

    Attributes:
        module: The module.
        num_features: F, the length of one image's features.
        features: None for a timm module that is pooled as timm pools; `lt_models.pooling` does so for every source.
    """

    module: nn.Module
    num_features: int
    features: Features | None = None
