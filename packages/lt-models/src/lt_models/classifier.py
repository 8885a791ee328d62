"""A backbone and a head."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from typing import Any, Literal

import attrs
import torch
from torch import nn

from lt_models import catalog, memory
from lt_models.backbone import Features
from lt_models.heads import CLASS_ROWS, HEADS
from lt_models.layers import layers
from lt_models.memory import lay_channels_last, lay_in, preferred_memory_format
from lt_models.pooling import pooled, pre_logits
from lt_models.spec import ClassifierSpec
from lt_models.weights.local import load_all

logger = logging.getLogger(__name__)


class Classifier(nn.Module):
    """Images to logits.

    Attributes:
        spec: What it was built from; its model name is the canonical one.
        backbone: timm's or torchvision's module without its classifier.
        fixed: Names of the backbone's parameters that never learn, as its library has it.
        is_convolutional: Whether it is a convolutional network rather than a transformer.
        memory_format: How weights and images lie in memory on the device that it is on; images of another format are
            converted.
        dropout: Between features and head.
        head: Features to logits.
    """

    def __init__(
        self, spec: ClassifierSpec, backbone: nn.Module, num_features: int, features: Features = pre_logits
    ) -> None:
        super().__init__()
        self.spec = spec
        self.backbone = backbone
        self.dropout = nn.Dropout(spec.head_dropout)
        self.head = HEADS[spec.head](num_features, spec.num_classes, spec.head_dropout)
        self.num_features = num_features
        self._features = features
        self.fixed = frozenset(name for name, parameter in backbone.named_parameters() if not parameter.requires_grad)
        self.memory_format = preferred_memory_format(backbone)
        self.is_convolutional = self.memory_format == torch.channels_last
        if self.is_convolutional:
            lay_channels_last(backbone)

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Classifier:
        """What `to` calls: on another device another memory format may be right."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch gives it no types
        if self.is_convolutional:
            lacking = next(self.parameters()).device.type in memory.WITHOUT_CHANNELS_LAST
            wanted = torch.contiguous_format if lacking else torch.channels_last
            if wanted != self.memory_format:
                lay_in(self.backbone, wanted)
                self.memory_format = wanted
        return self

    @property
    def class_rows(self) -> tuple[str, ...]:
        """Names of the head's parameters of which each class has a row; all others are shared by the classes."""
        return CLASS_ROWS[self.spec.head]

    @property
    def num_blocks(self) -> int:
        """Layers of the backbone after its stem, those that `freeze` and layer decay count."""
        return len(layers(self.backbone)) - 1

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Pooled features, float of shape (N, F), of normalised images of shape (N, C, H, W)."""
        # An exported graph is for other kernels; the exporter writes what follows from the format into it.
        if not torch.compiler.is_exporting():
            images = images.contiguous(memory_format=self.memory_format)
        return self._features(self.backbone, images)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits, float of shape (N, classes), of normalised images of shape (N, C, H, W)."""
        logits: torch.Tensor = self.head(self.dropout(self.features(images)))
        return logits


def create_classifier(
    name: str,
    num_classes: int,
    *,
    num_channels: int = 3,
    image_size: Literal["auto"] | tuple[int, int] = "auto",
    pooling: str = "auto",
    head: str = "linear",
    head_dropout: float = 0.0,
    drop_path_rate: float = 0.0,
    backbone_args: Mapping[str, Any] | None = None,
    pretrained: bool | None = None,
    backbone_weights: str | os.PathLike[str] | None = None,
) -> Classifier:
    """Build a classifier by name; published weights are the default.

    Args:
        name: `<package>/<name>[-notpretrained]`; case does not matter, and `_` and `-` are the same.
        num_classes: Outputs of the head, at least 1; a single one makes sense for multilabel tasks only.
        num_channels: Channels of the images, at least 1. Other than 3, the first convolution's weights for RGB are
            summed (1) or repeated and scaled (n).
        image_size: Height and width of the images; `auto` is what the model's card says.
        pooling: `auto` (the model's own), `cls`, `avg` or `cls+avg`.
        head: `linear`, `mlp` or `cosine`.
        head_dropout: Share of features zeroed before the head in training, in [0, 1).
        drop_path_rate: Stochastic depth of the last block, less before, in [0, 1).
        backbone_args: Further arguments of the backbone's constructor, plain values.
        pretrained: False skips the published weights, True insists on them; None goes by the name.
        backbone_weights: A local file with all of the backbone's weights, in place of the published ones.

    Returns:
        A module from normalised float images (N, num_channels, height, width) to logits (N, num_classes).

    Raises:
        UnknownModelError: No classifier has that name; names the five nearest.
        ModelConfigError: The model cannot have these classes, channels, image size, pooling or arguments.
        WeightsError: The weights cannot be had, lack a tensor, or are those of another model; random ones never take
            their place.
    """
    spec = ClassifierSpec(
        model=str(catalog.check_name(name)),
        num_classes=num_classes,
        num_channels=num_channels,
        image_size=catalog.model_input(name).image_size if image_size == "auto" else image_size,
        pooling=pooling,
        head=head,
        head_dropout=head_dropout,
        drop_path_rate=drop_path_rate,
        backbone_args=dict(backbone_args or {}),
    )
    return build_classifier(spec, pretrained=pretrained, backbone_weights=backbone_weights)


def build_classifier(
    spec: ClassifierSpec, *, pretrained: bool | None = None, backbone_weights: str | os.PathLike[str] | None = None
) -> Classifier:
    """Build the classifier of a stored spec.

    Args:
        spec: Which one.
        pretrained: False skips the published weights, as before a state is loaded; None goes by the name.
        backbone_weights: A local file with all of the backbone's weights, in place of the published ones.

    Raises:
        UnknownModelError: No classifier has that name; names the five nearest.
        ModelConfigError: The model cannot have these classes, channels, image size, pooling or arguments.
        WeightsError: The weights cannot be had, lack a tensor, or are those of another model; random ones never take
            their place.
    """
    name = catalog.check_name(spec.model)
    if not name.pretrained and pretrained is None and backbone_weights is None:
        logger.info("weights of %s/%s: random, as its name asks", name.package, name.model)
    wanted = (name.pretrained if pretrained is None else pretrained) and backbone_weights is None
    built = catalog.source(name.package).build(name, spec, pretrained=wanted)
    backbone = pooled(built, spec.pooling, spec.model)
    if backbone_weights is not None:
        load_all(backbone.module, backbone_weights, model=f"{name.package}/{name.model}")
    return Classifier(
        attrs.evolve(spec, model=str(name)), backbone.module, backbone.num_features, backbone.features or pre_logits
    )
