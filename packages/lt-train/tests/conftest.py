from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from hypothesis import settings
from PIL import Image

from lt_data import Classes, Preprocessing, SampleIndex, TaskSpec, TransformConfig
from lt_data.torch import Augmentation
from lt_models import Classifier, ClassifierSpec, build_classifier
from lt_train import RunFolder, TrainConfig, TrainData, TrainResult, fit

# Models as small as these gain nothing from threads, which wait for each other where other programs are running.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that tests start

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

MODEL = "timm/test_resnet-notpretrained"
SPEC = Preprocessing(image_size=(32, 32), resize_scale=1.0)


def write_images(root: Path, count: int, *, seed: int) -> SampleIndex:
    """Noise whose brightest channel tells its class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int32) % 3
    root.mkdir()
    for i, label in enumerate(labels):
        pixels = rng.integers(0, 128, (24, 20 + i % 5, 3), dtype=np.uint8)
        pixels[:, :, label] += 100
        Image.fromarray(pixels).save(root / f"{i}.png")
    return SampleIndex.from_paths(root, [f"{i}.png" for i in range(count)], labels, num_classes=3)


def write_multilabel_images(root: Path, count: int, *, seed: int) -> SampleIndex:
    """Noise in which each of three colours is bright or not; the second class is rare, and some images have none."""
    rng = np.random.default_rng(seed)
    present = rng.random((count, 3)) < (0.5, 0.2, 0.5)
    root.mkdir()
    for i, flags in enumerate(present):
        pixels = rng.integers(0, 128, (24, 20 + i % 5, 3), dtype=np.uint8)
        pixels[:, :, flags] += 100
        Image.fromarray(pixels).save(root / f"{i}.png")
    labels = np.nonzero(present)[1].astype(np.int32)
    ends = np.cumsum(present.sum(axis=1))
    return SampleIndex.from_paths(root, [f"{i}.png" for i in range(count)], labels, num_classes=3, label_ends=ends)


@pytest.fixture
def write_samples() -> Callable[..., SampleIndex]:
    return write_images


@attrs.frozen
class Job:
    """A small run that can be started again and again."""

    out: RunFolder
    task: TaskSpec
    data: TrainData

    def run(
        self,
        *,
        resume: bool = False,
        out: RunFolder | None = None,
        change: Callable[[Classifier], object] | None = None,
        **settings: object,
    ) -> TrainResult:
        torch.manual_seed(0)
        spec = ClassifierSpec(model=MODEL, num_classes=3, image_size=(32, 32), head_dropout=0.2)
        classifier = build_classifier(spec)
        if change is not None:
            change(classifier)
        defaults = {"steps": 6, "batch_size": 8, "num_workers": 0, "accelerator": "cpu"}
        return fit(
            out=out or self.out,
            classifier=classifier,
            task=self.task,
            data=self.data,
            config=TrainConfig(**{**defaults, **settings}),
            arguments={key: str(value) for key, value in {**defaults, **settings}.items()},
            resume=resume,
        )


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(
        out=RunFolder(tmp_path / "run"),
        task=TaskSpec(task="multiclass", classes=Classes((0, 1, 2), ("red", "green", "blue")), preprocessing=SPEC),
        data=TrainData(
            train=write_images(tmp_path / "train", 20, seed=0),
            val=write_images(tmp_path / "val", 9, seed=1),
            augmentation=Augmentation.from_config(TransformConfig(color_jitter=None), SPEC),
        ),
    )


@pytest.fixture
def multilabel_job(tmp_path: Path) -> Job:
    return Job(
        out=RunFolder(tmp_path / "run"),
        task=TaskSpec(task="multilabel", classes=Classes((4, 7, 9), ("red", "green", "blue")), preprocessing=SPEC),
        data=TrainData(
            train=write_multilabel_images(tmp_path / "train", 40, seed=0),
            val=write_multilabel_images(tmp_path / "val", 24, seed=1),
            augmentation=Augmentation.from_config(TransformConfig(color_jitter=None), SPEC),
        ),
    )
