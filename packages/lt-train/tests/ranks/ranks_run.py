"""Runs of one or of several processes: `python ranks_run.py IMAGES OUT '{"devices": 2}' whole frozen`.

The run of each kind, a model that learns as a whole or its head alone, lies in the folder of that name in OUT. The kind
`interrupted` is `whole`, ended in its seventh step as by a power cut, and resumed.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from pathlib import Path

import torch

from lt_data import DatasetIndex, Preprocessing, TaskSpec, TransformConfig, build_index, load_data_config
from lt_data.torch import Augmentation
from lt_models import Classifier, create_classifier
from lt_train import (
    CalibrationArgs,
    LoggerArgs,
    MetricArgs,
    ModelArgs,
    RunFolder,
    SaveCheckpointArgs,
    TrainConfig,
    TrainData,
    fit,
)

SPEC = Preprocessing(image_size=(32, 32), resize_scale=1.0)
KINDS = {
    "whole": {"mixup_alpha": 0.2, "cutmix_alpha": 1.0},
    "frozen": {"backbone_freeze": True, "feature_views": 2},
}


def stop_in_step(number: int, classifier: Classifier) -> None:
    passes = iter(range(2 * (number - 1)))

    def count(module, arguments) -> None:
        if module.training and next(passes, None) is None:
            raise InterruptedError

    classifier.head.register_forward_pre_hook(count)


def wait_for_step(step: int, out: RunFolder) -> None:
    """Until the first process has written that checkpoint, which the others do not wait for."""
    end = time.monotonic() + 60.0
    while torch.load(out.checkpoint, weights_only=True)["step"] != step:
        assert time.monotonic() < end
        time.sleep(0.01)


def learn(out: RunFolder, kind: str, index: DatasetIndex, processes: str, stop: int = 0, resume: bool = False) -> None:
    torch.manual_seed(0)
    # A transformer: batch norm would see the part of a batch that its process has.
    classifier = create_classifier("timm/test_vit-notpretrained", 3, image_size=(32, 32))
    if stop:
        stop_in_step(stop, classifier)
    augmentation = Augmentation.from_config(TransformConfig(), SPEC)
    fit(
        out=out,
        classifier=classifier,
        task=TaskSpec(task="multiclass", classes=index.classes, preprocessing=SPEC),
        # Of the images that were validated with, a test must say what the best validation did.
        data=TrainData(train=index.train, val=index.val, test=index.val, augmentation=augmentation),
        config=TrainConfig(
            steps=8,
            batch_size=8,
            gradient_accumulation_steps=2,
            num_workers=1,
            accelerator="cpu",
            model_args=ModelArgs(lr=1e-3, ema_decay=0.9, sampler="balanced", **KINDS[kind]),
            metric_args=MetricArgs(train=True, expected_calibration_error=CalibrationArgs()),
            logger_args=LoggerArgs(log_every_num_steps=4, val_every_num_steps=4),
            save_checkpoint_args=SaveCheckpointArgs(save_every_num_steps=3),
            **json.loads(processes),
        ),
        resume=resume,
    )


def main() -> None:
    images, folder, processes, *kinds = sys.argv[1:]
    index = build_index(load_data_config({"train": Path(images) / "train", "val": Path(images) / "val"}))
    for kind in kinds:
        out = RunFolder(Path(folder) / kind)
        if kind != "interrupted":
            learn(out, kind, index, processes)
            continue
        with suppress(InterruptedError):
            learn(out, "whole", index, processes, stop=7)
        wait_for_step(6, out)  # between two logs
        learn(out, "whole", index, processes, resume=True)


if __name__ == "__main__":
    main()
