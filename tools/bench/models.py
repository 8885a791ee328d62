"""Building a model, and a forward and backward pass through it, against timm itself; figures for the documentation."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import timm
import torch
from torch import nn

from lt_models import create_classifier, describe_models, list_models

ROUNDS = 15
PASSES = (("resnet18", 8, 128), ("vit_tiny_patch16_224", 4, 224))


def seconds(work: Callable[[], object]) -> float:
    """Of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def ratio(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    """Median of ratios taken in turn, and the median of the seconds that ours takes."""
    for _ in range(2):
        ours(), theirs()
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(ROUNDS)]
    return statistics.median(a / b for a, b in pairs), statistics.median(a for a, _ in pairs)


def step(module: nn.Module, images: torch.Tensor) -> None:
    """Forward and backward."""
    module(images).sum().backward()
    module.zero_grad()


def main() -> None:
    """Print the figures."""
    print(f"torch {torch.__version__}, timm {timm.__version__}, {torch.get_num_threads()} threads; medians of {ROUNDS}")
    for model in ("resnet18", "vit_tiny_patch16_224", "efficientnet_b0"):
        name = f"timm/{model}-notpretrained"
        times, took = ratio(lambda: create_classifier(name, 10), lambda: timm.create_model(model, num_classes=10))  # noqa: B023  # called at once
        print(f"build {name}: {1000 * took:.0f} ms, {times:.2f} x timm.create_model")
    for model, batch, side in PASSES:
        ours = create_classifier(f"timm/{model}-notpretrained", 1000, image_size=(side, side))
        theirs = timm.create_model(model, num_classes=1000).to(memory_format=ours.memory_format)
        images = torch.randn(batch, 3, side, side).contiguous(memory_format=ours.memory_format)
        times, took = ratio(lambda: step(ours, images), lambda: step(theirs, images))  # noqa: B023  # called at once
        print(f"forward and backward {model}: {1000 * took:.0f} ms, {times:.3f} x timm's own module")
    print(f"list_models(): {len(list_models())} names, {1000 * seconds(list_models):.0f} ms")
    print(f"describe_models(): {1000 * seconds(describe_models):.0f} ms")


if __name__ == "__main__":
    main()
