"""From features to logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

HEAD_INIT_STD = 0.01
"""Standard deviation of a new head's weights, its biases are zero: small logits at the start, as in linear probing."""

COSINE_SCALE = 16.0
"""Where the learned scale of a cosine head starts; cosines themselves are too close to each other for a softmax."""


class CosineHead(nn.Module):
    """Cosines between features and one direction for each class, times a learned scale.

    Attributes:
        weight: Directions, float of shape (classes, F); their lengths do not matter.
        scale: Factor, float of shape ().
    """

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_classes, num_features))
        self.scale = nn.Parameter(torch.tensor(COSINE_SCALE))
        nn.init.normal_(self.weight, std=HEAD_INIT_STD)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits, float of shape (N, classes), of features of shape (N, F)."""
        return self.scale * nn.functional.linear(
            nn.functional.normalize(features, dim=-1), nn.functional.normalize(self.weight, dim=-1)
        )


def linear(num_features: int, num_classes: int, dropout: float) -> nn.Module:
    """One linear layer."""
    return _started(nn.Linear(num_features, num_classes))


def mlp(num_features: int, num_classes: int, dropout: float) -> nn.Module:
    """One hidden layer as wide as the features, GELU, and dropout."""
    hidden = nn.Linear(num_features, num_features)
    nn.init.trunc_normal_(hidden.weight, std=num_features**-0.5)
    nn.init.zeros_(hidden.bias)
    return nn.Sequential(hidden, nn.GELU(), nn.Dropout(dropout), _started(nn.Linear(num_features, num_classes)))


def cosine(num_features: int, num_classes: int, dropout: float) -> nn.Module:
    """`CosineHead`."""
    return CosineHead(num_features, num_classes)


HEADS: Mapping[str, Callable[[int, int, float], nn.Module]] = {"linear": linear, "mlp": mlp, "cosine": cosine}
"""By name: from the number of features, the number of classes and the dropout to a new head."""


CLASS_ROWS: Mapping[str, tuple[str, ...]] = {
    "linear": ("weight", "bias"),
    "mlp": ("3.weight", "3.bias"),
    "cosine": ("weight",),
}
"""By name: parameters of which each class has a row; all others are shared."""


def _started(layer: nn.Linear) -> nn.Linear:
    nn.init.normal_(layer.weight, std=HEAD_INIT_STD)
    nn.init.zeros_(layer.bias)
    return layer
