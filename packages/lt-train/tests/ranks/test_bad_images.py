from __future__ import annotations

import sys

import pytest

from lt_train import RunFolder

PROGRAM = """
import sys
from pathlib import Path
from lt_data import DatasetError, Preprocessing, TaskSpec, TransformConfig, build_index, load_data_config
from lt_data.torch import Augmentation
from lt_models import ClassifierSpec, build_classifier
from lt_train import LoggerArgs, RunFolder, TrainConfig, TrainData, fit

MODEL = "timm/test_vit-notpretrained"
root = Path(sys.argv[1])
spec = Preprocessing(image_size=(32, 32), resize_scale=1.0)
tables = {"train_csv": root / "train.csv", "val_csv": root / "val.csv", "classes": ["red", "green", "blue"]}
index = build_index(load_data_config(tables))
try:
    fit(
        out=RunFolder(root / "run"),
        classifier=build_classifier(ClassifierSpec(model=MODEL, num_classes=3, image_size=(32, 32))),
        task=TaskSpec(task="multiclass", classes=index.classes, preprocessing=spec),
        data=TrainData(
            train=index.train,
            val=index.val,
            augmentation=Augmentation.from_config(TransformConfig(color_jitter=None), spec),
        ),
        config=TrainConfig(
            steps=26,
            batch_size=8,
            num_workers=0,
            devices=2,
            accelerator="cpu",
            strategy="ddp",
            logger_args=LoggerArgs(val_every_num_steps=13),
        ),
    )
    print("ended", flush=True)
except DatasetError as error:
    print(error, flush=True)
"""

WINDOWS = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups of this kind")


@pytest.fixture
def run_ranks(tmp_path, write_samples, programs):
    """Train in two processes with some images of a split cut off; gives what each process printed."""

    def run(broken: dict[str, list[int]]) -> list[str]:
        for split, count in (("train", 200), ("val", 200)):
            samples = write_samples(tmp_path / split, count, seed=len(split))
            for i in broken.get(split, []):
                content = samples.path(i).read_bytes()
                samples.path(i).write_bytes(content[: len(content) // 2])
            rows = [f"{samples.path(i)},{('red', 'green', 'blue')[samples.labels[i]]}" for i in range(count)]
            (tmp_path / f"{split}.csv").write_text("\n".join(["image_path,label", *rows]))
        (tmp_path / "program.py").write_text(PROGRAM)
        ranks = programs.start_ranks(tmp_path / "program.py", tmp_path)
        assert [rank.wait() for rank in ranks] == [0, 0], ranks[0].printed()
        return [rank.printed() for rank in ranks]

    return run


@WINDOWS
@pytest.mark.parametrize("split", ["train", "val"])
def test_more_bad_images_than_may_be_left_out_over_all_processes_end_each_of_them(run_ranks, split):
    for printed in run_ranks({split: [20, 71, 144, 190]}):
        assert "4 of 200 images cannot be read, more than the 3 that may be" in printed
        for name in (20, 71, 144, 190):
            assert f"{split}/{name}.png" in printed


@WINDOWS
def test_each_bad_image_is_named_once_whichever_process_met_it(run_ranks, tmp_path):
    for printed in run_ranks({"train": [20, 71], "val": [20, 71]}):
        assert "ended" in printed
    lines = [line for line in RunFolder(tmp_path / "run").log.read_text().splitlines() if "so far: " in line]
    for split in ("train", "val"):
        for name in (20, 71):
            assert sum(f"/{split}/{name}.png" in line for line in lines) == 1
    assert len(lines) == 4
