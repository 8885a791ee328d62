"""Runs of one or of several processes: `python ranks_run.py IMAGES OUT '{"devices": 2}' whole frozen`.

The run of each kind, a model that learns as a whole or its head alone, lies in the folder of that name in OUT.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from lt_data import Preprocessing, TaskSpec, TransformConfig, build_index, load_data_config
from lt_data.torch import Augmentation
from lt_models import create_classifier
from lt_train import CalibrationArgs, LoggerArgs, MetricArgs, ModelArgs, RunFolder, TrainConfig, TrainData, fit

SPEC = Preprocessing(image_size=(32, 32), resize_scale=1.0)
KINDS = {
    "whole": {"mixup_alpha": 0.2, "cutmix_alpha": 1.0},
    "frozen": {"backbone_freeze": True, "feature_views": 2},
}


def main() -> None:
    images, out, processes, *kinds = sys.argv[1:]
    index = build_index(load_data_config({"train": Path(images) / "train", "val": Path(images) / "val"}))
    for kind in kinds:
        torch.manual_seed(0)
        fit(
            out=RunFolder(Path(out) / kind),
            # A transformer: batch norm would see the part of a batch that its process has.
            classifier=create_classifier("timm/test_vit-notpretrained", 3, image_size=(32, 32)),
            task=TaskSpec(task="multiclass", classes=index.classes, preprocessing=SPEC),
            data=TrainData(
                train=index.train, val=index.val, augmentation=Augmentation.from_config(TransformConfig(), SPEC)
            ),
            config=TrainConfig(
                steps=12,
                batch_size=8,
                gradient_accumulation_steps=2,
                num_workers=1,
                accelerator="cpu",
                model_args=ModelArgs(lr=1e-3, ema_decay=0.9, sampler="balanced", **KINDS[kind]),
                metric_args=MetricArgs(train=True, expected_calibration_error=CalibrationArgs()),
                logger_args=LoggerArgs(log_every_num_steps=4, val_every_num_steps=4),
                **json.loads(processes),
            ),
        )


if __name__ == "__main__":
    main()
