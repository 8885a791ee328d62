"""A backbone and a head."""

from __future__ import annotations

import torch
from torch import nn

from lt_models import catalog
from lt_models.errors import ModelConfigError
from lt_models.spec import ClassifierSpec

HEAD_INIT_STD = 0.01
"""Standard deviation of a new head's weights, its biases are zero: small logits at the start, as in linear probing."""


class Classifier(nn.Module):
    """Images to logits.

    Attributes:
        spec: What it was built from.
        backbone: Images to pooled features, as the model's own classifier would see them.
        dropout: Between features and head.
        head: Features to logits.
    """

    def __init__(self, spec: ClassifierSpec, backbone: nn.Module, num_features: int) -> None:
        super().__init__()
        self.spec = spec
        self.backbone = backbone
        self.dropout = nn.Dropout(spec.head_dropout)
        self.head = nn.Linear(num_features, spec.num_classes)
        nn.init.normal_(self.head.weight, std=HEAD_INIT_STD)
        nn.init.zeros_(self.head.bias)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Pooled features, float of shape (N, F), of normalised images of shape (N, C, H, W)."""
        features: torch.Tensor = self.backbone(images)
        return features

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits, float of shape (N, classes), of normalised images of shape (N, C, H, W)."""
        logits: torch.Tensor = self.head(self.dropout(self.features(images)))
        return logits


def create_classifier(spec: ClassifierSpec, *, pretrained: bool | None = None) -> Classifier:
    """Build a classifier; published weights are the default.

    Args:
        spec: Which one.
        pretrained: False skips the weights, as before a state is loaded; None goes by the name.

    Raises:
        UnknownModelError: No model has that name; names the five nearest.
        ModelConfigError: The model cannot have these classes, channels or image size.
        WeightsError: Published weights cannot be had; random ones are never put in their place.
    """
    if spec.num_classes < 1:
        raise ModelConfigError(f"num_classes must be at least 1, got {spec.num_classes}")
    name = catalog.check_name(spec.model)
    wanted = name.pretrained if pretrained is None else pretrained
    backbone = catalog.source(name.package).build(name, spec, pretrained=wanted)
    return Classifier(spec, backbone.module, backbone.num_features)
