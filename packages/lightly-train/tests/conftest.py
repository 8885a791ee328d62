from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lightly_train

# Nothing here may wait for a network: the hub's client, imported later, gives up at once.
os.environ["HF_HUB_OFFLINE"] = "1"

MODEL = "timm/test_resnet-notpretrained"
CLASSES = {4: "red", 7: "green", 9: "blue"}


def write_data(root: Path) -> dict[str, Any]:
    """Noise images of many shapes whose brightest channel tells the class; the `data` argument for them."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 4)):
        for label, name in enumerate(CLASSES.values()):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 128, (20 + 3 * i, 44 - 2 * i, 3), dtype=np.uint8)
                pixels[:, :, label] += 100
                Image.fromarray(pixels).save(root / split / name / f"{i}.png")
    return {"train": root / "train", "val": root / "val", "classes": CLASSES}


def train(out: Path, data: Any, **changes: Any) -> lightly_train.TrainResult:
    """A run of a few seconds."""
    settings = {
        "model": MODEL,
        "steps": 4,
        "batch_size": 6,
        "num_workers": 0,
        "accelerator": "cpu",
        "model_args": {"lr": 3e-3},
        "transform_args": {"image_size": (32, 32), "color_jitter": None},
        **changes,
    }
    return lightly_train.train_image_classification(out=out, data=data, **settings)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any]) -> lightly_train.TrainResult:
    """A model that knows red from green and blue."""
    return train(tmp_path_factory.mktemp("trained") / "run", data, steps=40)


@pytest.fixture(scope="session")
def multilabel_data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Tables of noise images in which each of three colours is bright or not; the `data` argument for them."""
    root = tmp_path_factory.mktemp("multilabel_data")
    rng = np.random.default_rng(0)
    for split, count in (("train", 32), ("val", 16)):
        rows = ["image_path,label"]
        for i in range(count):
            pixels = rng.integers(0, 128, (20 + i, 44 - i, 3), dtype=np.uint8)
            present = rng.random(3) < 0.5
            pixels[:, :, present] += 100
            Image.fromarray(pixels).save(root / f"{split}{i}.png")
            names = [name for name, on in zip(CLASSES.values(), present, strict=True) if on]
            rows.append(f'{split}{i}.png,"{",".join(names)}"')
        (root / f"{split}.csv").write_text("\n".join(rows))
    return {"train_csv": root / "train.csv", "val_csv": root / "val.csv", "classes": CLASSES}


@pytest.fixture(scope="session")
def train_on() -> Callable[..., lightly_train.TrainResult]:
    """`train` on data of the test's own."""
    return train


@pytest.fixture
def run(data: dict[str, Any]) -> Callable[..., lightly_train.TrainResult]:
    """`train` on the shared data, with changes."""

    def start(out: Path, **changes: Any) -> lightly_train.TrainResult:
        return train(out, changes.pop("data", data), **changes)

    return start
