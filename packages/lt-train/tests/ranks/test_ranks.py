from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from lt_data import load_inputs
from lt_train import RunFolder, load_exported

PROGRAM = """
import numpy as np
import torch
from lightning_fabric import Fabric
from lt_data import structure
from lt_train import MetricArgs
from lt_train.metrics.build import make_tally
from lt_train.metrics.plan import plan_metrics
from lt_train.ranks import FabricRanks

fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp")
fabric.launch()
rng = np.random.default_rng(0)
scores = rng.random((11, 3)).astype(np.float32).round(1)
losses = rng.exponential(3.0, 11).astype(np.float32)
targets = {"multiclass": rng.integers(0, 3, 11), "multilabel": rng.integers(0, 2, (11, 3)).astype(np.float32)}
for task, truth in targets.items():
    for share in (4, 11):
        plan = plan_metrics(MetricArgs(classwise=True), task, ("a", "b", "c"))
        whole, part = make_tally(plan), make_tally(plan)
        mine = slice(0, share) if fabric.global_rank == 0 else slice(share, 11)
        for tally, some in ((whole, slice(None)), (part, mine)):
            tally.update(scores[some], truth[some])
            tally.update_loss(losses[some])
        part.reduce(FabricRanks(fabric))
        np.testing.assert_equal(part.values(), whole.values())
        assert part.mean_loss() == whole.mean_loss()
        np.testing.assert_array_equal(part.table().confusion, whole.table().confusion)
print("equal", flush=True)
fabric.barrier()
torch.distributed.destroy_process_group()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups of this kind")
def test_two_processes_with_shares_of_different_size_have_the_metrics_of_one(tmp_path, programs):
    (tmp_path / "program.py").write_text(PROGRAM)
    for rank in programs.start_ranks(tmp_path / "program.py"):
        assert rank.wait() == 0, rank.printed()
        assert rank.printed().count("equal") == 1


TRAINING = """
import sys
from pathlib import Path
from lt_data import Preprocessing, TaskSpec, TransformConfig, build_index, load_data_config
from lt_data.torch import Augmentation
from lt_models import ClassifierSpec, build_classifier
from lt_train import LoggerArgs, MetricArgs, ModelArgs, RunFolder, SaveCheckpointArgs, TrainConfig, TrainData, fit

root, steps, cache = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None
spec = Preprocessing(image_size=(32, 32), resize_scale=1.0)
augmentation = Augmentation.from_config(TransformConfig(color_jitter=None), spec)
tables = {"train_csv": root / "train.csv", "val_csv": root / "val.csv", "classes": ["red", "green", "blue"]}
index = build_index(load_data_config(tables), "multilabel")
fit(
    out=RunFolder(root / "run"),
    classifier=build_classifier(ClassifierSpec(model="timm/test_resnet-notpretrained", num_classes=3)),
    task=TaskSpec(task="multilabel", classes=index.classes, preprocessing=spec),
    data=TrainData(train=index.train, val=index.val, augmentation=augmentation, cache=cache),
    config=TrainConfig(
        steps=steps,
        batch_size=8,
        num_workers=0,
        devices=2,
        accelerator="cpu",
        strategy="ddp",
        model_args=ModelArgs(lr=3e-3),
        metric_args=MetricArgs(train=True),
        logger_args=LoggerArgs(log_every_num_steps=3, val_every_num_steps=6),
        save_checkpoint_args=SaveCheckpointArgs(save_every_num_steps=2),
    ),
)
"""


def train_in_two(job, tmp_path, programs, *arguments) -> list[str]:
    """Two processes train on the images of a job, the last one of validation left out; returns what each printed."""
    for split, samples in (("train", job.data.train), ("val", job.data.val)):
        names = job.task.classes.names
        rows = [f'{samples.path(i)},"{",".join(names[k] for k in samples.labels_of(i))}"' for i in range(len(samples))]
        (tmp_path / f"{split}.csv").write_text("\n".join(["image_path,label", *rows[: -1 if split == "val" else None]]))
    (tmp_path / "program.py").write_text(TRAINING)
    ranks = programs.start_ranks(tmp_path / "program.py", tmp_path, *arguments)
    for rank in ranks:
        assert rank.wait() == 0, rank.printed()
    return [rank.printed() for rank in ranks]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups of this kind")
def test_two_processes_report_what_their_exported_model_reaches(tmp_path, multilabel_job, programs):
    val = multilabel_job.data.val
    first, second = train_in_two(multilabel_job, tmp_path, programs, 24)
    folder = RunFolder(tmp_path / "run")
    exported = load_exported(folder.exported_best)
    inputs = load_inputs([val.path(i) for i in range(len(val) - 1)], exported.task.preprocessing)
    with torch.no_grad():
        scores = exported.build().eval()(torch.from_numpy(inputs)).sigmoid().numpy()
    truth = np.array([val.target(i) for i in range(len(val) - 1)]) > 0.5
    assert exported.metrics["val_metric/hamming_distance"] == ((scores > 0.5) != truth).mean()
    assert exported.metrics["val_loss"] == pytest.approx(sk.log_loss(truth.ravel(), scores.ravel()), abs=1e-5)
    assert exported.metrics["val_metric/auroc_macro"] == pytest.approx(sk.roc_auc_score(truth, scores), abs=1e-6)
    for said in (folder.log.read_text(), first):
        assert said.count("batch normalisation sees the 4 images of one process") == 1
    assert "batch normalisation" not in second
    lines = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    for line in lines:
        if "train_loss" in line:
            right = line["train_metric/accuracy"] * 3 * 8 * 3  # three steps of eight samples and three classes
            assert right == pytest.approx(round(right))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups of this kind")
def test_two_processes_each_have_a_cache_on_the_same_disk(tmp_path, multilabel_job, programs):
    train_in_two(multilabel_job, tmp_path, programs, 6, "disk")
    assert RunFolder(tmp_path / "run").exported_best.is_file()
    assert not RunFolder(tmp_path / "run").cache.exists()
