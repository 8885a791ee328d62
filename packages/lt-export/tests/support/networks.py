"""Tiny networks and their tasks."""

from __future__ import annotations

import torch
from torch import nn

from lt_data import Calibration, Classes, Preprocessing, TaskSpec


def task_spec(
    task: str = "multiclass", channels: int = 3, calibration: Calibration | None = None, **preprocessing
) -> TaskSpec:
    return TaskSpec(
        task=task,
        classes=Classes((10, 20, 30), ("red", "grün", "blue")),
        preprocessing=Preprocessing(
            **{
                "image_size": (16, 24),
                "num_channels": channels,
                "mean": (0.4,) * channels,
                "std": (0.2,) * channels,
                **preprocessing,
            }
        ),
        calibration=calibration or Calibration(),
    )


def convolutional(channels: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, stride=2, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 3),
    )


class Attentive(nn.Module):
    """A transformer of one block, with weights large enough for scores that are far from each other."""

    def __init__(self, channels: int = 3, width: int = 32) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(channels, width, 8, stride=8)
        self.norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 256), nn.GELU(), nn.Linear(256, width))
        self.head = nn.Linear(width, 3)
        nn.init.normal_(self.head.weight)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        normed = self.norm(tokens)
        tokens = tokens + self.attention(normed, normed, normed, need_weights=False)[0]
        logits: torch.Tensor = self.head((tokens + self.mlp(tokens)).mean(dim=1))
        return logits
