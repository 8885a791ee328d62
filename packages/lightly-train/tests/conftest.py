from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lightly_train
from lt_data import Classes, Preprocessing, SampleIndex, TaskSpec

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


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


@pytest.fixture
def score(tmp_path: Path) -> Callable[..., Any]:
    """`ScoredSamples` of made-up scores, of ten files: `score(names, size, task="multilabel", skill=3.0)`."""
    from lightly_train.scored import ScoredSamples

    def start(
        names: Sequence[str],
        size: int,
        *,
        task: Any = "multiclass",
        skill: float = 4.0,
        seed: int = 0,
        labels: Any = None,
    ) -> ScoredSamples:
        rng = np.random.default_rng(seed)
        paths = [f"images/é{i}.png" for i in range(10)]
        (tmp_path / "images").mkdir(exist_ok=True)
        for i, path in enumerate(paths):
            Image.fromarray(rng.integers(0, 255, (40, 30 + 5 * i, 3), dtype=np.uint8)).save(tmp_path / path)
        files = [paths[i % 10] for i in range(size)]
        spec = TaskSpec(
            task=task,
            classes=Classes(tuple(range(3, 3 + len(names))), tuple(names)),
            preprocessing=Preprocessing(image_size=(32, 32)),
        )
        noise = rng.normal(size=(size, len(names)))
        if task == "multiclass":
            truth = rng.integers(0, len(names), size) if labels is None else np.asarray(labels)
            index = SampleIndex.from_paths(tmp_path, files, truth, num_classes=len(names))
            noise[np.arange(size), truth] += skill
            return ScoredSamples(task=spec, samples=index, scores=softmax(noise).astype(np.float32))
        present = rng.random((size, len(names))) < 0.3 if labels is None else np.asarray(labels, dtype=bool)
        flat, ends = np.nonzero(present)[1], np.cumsum(present.sum(axis=1))
        index = SampleIndex.from_paths(tmp_path, files, flat, num_classes=len(names), label_ends=ends)
        logits = noise + skill * (present - 0.5)
        return ScoredSamples(task=spec, samples=index, scores=(1 / (1 + np.exp(-logits))).astype(np.float32))

    return start


@pytest.fixture
def report_of() -> Callable[..., Any]:
    """`ReportData` around scores, with changes: `report_of(scored, notes=("...",))`."""
    from lightly_train.report.data import AugmentedSample, ReportData, Series

    def start(scored: Any, **changes: Any) -> ReportData:
        steps = np.arange(1.0, 41.0)
        values = {"train_loss": 2 / steps, "val_loss": 2.5 / steps, "learning_rate": 1e-3 * (1 - steps / 41)}
        watched = "val_metric/top1_acc_micro" if scored.task.task == "multiclass" else "val_metric/f1_macro"
        values[watched] = 1 - 0.9 / steps
        counts = np.bincount(scored.samples.labels, minlength=len(scored.task.classes)).astype(np.int64)
        view = Image.new("RGB", (32, 32), (200, 30, 30))
        settings = {
            "title": "a run",
            "created": datetime(2025, 1, 2, 3, 4, tzinfo=timezone.utc),
            "scored": scored,
            "num_validation": len(scored.samples),
            "threshold": 0.5,
            "metrics": {watched: 0.875, "val_loss": 0.25, "val_metric/f1/cat": 0.5},
            "watched": watched,
            "facts": (("Model", "timm/resnet18"),),
            "curves": {name: Series(name, steps, y) for name, y in values.items()},
            "best_step": 30,
            "class_counts": {"training": counts * 4, "validation": counts},
            "augmented": (AugmentedSample("cat · a.png", (view, view)),),
            "arguments": (("steps", "40", "as many as needed"), ("epochs", "None", "")),
            "environment": (("Python", "3.12"),),
            "notes": (),
            **changes,
        }
        return ReportData(**settings)

    return start


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of the test's own, and another working directory."""
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "home"


@pytest.fixture
def sealed_folder() -> Path:
    """A folder that even root cannot write to; skips the test where there is none."""
    folder = Path("/proc/self")
    if not folder.is_dir():
        pytest.skip("there is no folder here that even root cannot write to")
    return folder
