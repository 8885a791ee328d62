"""A small run in a process of its own: `python small_run.py FOLDER '{"steps": 10}'`; the images lie in the folder."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch

from lt_data import Classes, Preprocessing, SampleIndex, TaskSpec, TransformConfig, structure
from lt_data.torch import Augmentation
from lt_models import Classifier, ClassifierSpec, build_classifier
from lt_train import RunFolder, TrainConfig, TrainData, fit

SPEC = Preprocessing(image_size=(32, 32), resize_scale=1.0)


def samples(folder: Path) -> SampleIndex:
    names = sorted(path.name for path in folder.iterdir())
    return SampleIndex.from_paths(folder, names, np.arange(len(names), dtype=np.int32) % 3, num_classes=3)


def hang_in_step(classifier: Classifier, number: int) -> None:
    """Make the second process wait for nothing that could tell it of the first one's end, as NCCL does."""
    passes = iter(range(number))

    def hang(module, arguments) -> None:
        if module.training and os.environ.get("LOCAL_RANK") == "1" and next(passes, None) is None:
            time.sleep(1000.0)

    classifier.register_forward_pre_hook(hang)


def main() -> None:
    root, settings = Path(sys.argv[1]), json.loads(sys.argv[2])
    out, resume = settings.pop("out", "run"), settings.pop("resume", False)
    hangs = settings.pop("second_hangs_in_step", None)
    config = structure({"batch_size": 8, "num_workers": 0, "accelerator": "cpu", **settings}, TrainConfig, "config")
    torch.manual_seed(0)
    classifier = build_classifier(ClassifierSpec(model="timm/test_resnet-notpretrained", num_classes=3))
    if hangs is not None:
        hang_in_step(classifier, hangs)
    fit(
        out=RunFolder(root / out),
        classifier=classifier,
        task=TaskSpec(task="multiclass", classes=Classes((0, 1, 2), ("red", "green", "blue")), preprocessing=SPEC),
        data=TrainData(
            train=samples(root / "train"),
            val=samples(root / "val"),
            augmentation=Augmentation.from_config(TransformConfig(color_jitter=None), SPEC),
        ),
        config=config,
        arguments={"steps": config.steps},
        resume=resume,
    )


if __name__ == "__main__":
    main()
