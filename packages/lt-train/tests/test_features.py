from __future__ import annotations

import logging
import os
import signal
import tempfile

import attrs
import numpy as np
import pytest
import torch

import lt_train.features
from lt_data import Preprocessing, TransformConfig, load_inputs
from lt_data.torch import Augmentation
from lt_train import (
    EarlyStoppingArgs,
    LoggerArgs,
    ModelArgs,
    OutOfSpaceError,
    RunFolder,
    SaveCheckpointArgs,
    TrainConfigError,
    load_exported,
)

SPEC = Preprocessing(image_size=(32, 32), resize_scale=1.0)


def frozen(*, lr: float = 1e-2, **settings: object) -> ModelArgs:
    return ModelArgs(backbone_freeze=True, lr=lr, **settings)


def head(folder: RunFolder) -> torch.Tensor:
    return load_exported(folder.exported_last).state["head.weight"]


class Seen:
    """Counts the images that go through a backbone: `watch` is for `Job.run`."""

    def __init__(self) -> None:
        self.images: list[int] = []

    def watch(self, classifier) -> None:
        first = next(module for module in classifier.backbone.modules() if isinstance(module, torch.nn.Conv2d))
        first.register_forward_hook(lambda module, inputs, output: self.images.append(len(output)))


@pytest.mark.parametrize(("settings", "views"), [({}, 1), ({"feature_views": 1}, 1), ({"feature_views": 3}, 3)])
def test_the_frozen_backbone_sees_each_image_once_for_each_view_that_is_kept(job, settings, views):
    seen = Seen()
    job.run(model_args=frozen(**settings), epochs=4.0, steps="auto", change=seen.watch)
    tried = 1  # before training, to find sizes that the model cannot take
    assert sum(seen.images) == tried + views * len(job.data.train) + len(job.data.val)


def test_the_frozen_backbone_sees_images_at_every_step_where_no_views_are_kept(job):
    seen = Seen()
    job.run(model_args=frozen(feature_views=None), steps=6, change=seen.watch)
    assert sum(seen.images) > 6 * 8


def test_kept_views_teach_the_head_what_images_augmented_in_each_epoch_teach_it(job, tmp_path):
    # A dropout draws for features what it draws for images; two epochs of 20 samples are five batches of eight.
    job.run(model_args=frozen(feature_views=2), steps=5)
    anew = RunFolder(tmp_path / "anew")
    job.run(model_args=frozen(feature_views=None), steps=5, out=anew)
    torch.testing.assert_close(head(job.out), head(anew), rtol=1e-4, atol=1e-6)


def test_views_take_turns_from_epoch_to_epoch(job, tmp_path):
    job.run(model_args=frozen(feature_views=2), steps=10)
    others = RunFolder(tmp_path / "others")
    job.run(model_args=frozen(feature_views=4), steps=10, out=others)
    assert not torch.allclose(head(job.out), head(others), rtol=1e-4)


def test_what_validation_says_is_what_the_exported_model_reaches(multilabel_job):
    result = multilabel_job.run(model_args=frozen(ema_decay=0.8), steps=30)
    exported = load_exported(multilabel_job.out.exported_best)
    val = multilabel_job.data.val
    inputs = load_inputs([val.path(i) for i in range(len(val))], exported.task.preprocessing)
    with torch.no_grad():
        scores = exported.build().eval()(torch.from_numpy(inputs)).sigmoid().numpy()
    truth = np.array([val.target(i) for i in range(len(val))]) > 0.5
    assert result.best_metrics["val_metric/hamming_distance"] == ((scores > 0.5) != truth).mean()


def test_without_augmentation_the_head_learns_from_what_validation_sees(job, tmp_path):
    other = attrs.evolve(job.data, augmentation=Augmentation.from_config(TransformConfig(random_flip=None), SPEC))
    job.run(model_args=frozen())
    attrs.evolve(job, data=other, out=RunFolder(tmp_path / "other")).run(model_args=frozen())
    assert torch.equal(head(job.out), head(RunFolder(tmp_path / "other")))
    with_views = RunFolder(tmp_path / "views")
    job.run(model_args=frozen(feature_views=1), out=with_views)
    assert not torch.equal(head(job.out), head(with_views))


class Stopped(Exception):
    """What a power cut is to a test in the same process."""


@pytest.mark.parametrize(("views", "num_workers"), [("auto", 0), (2, 2)])
def test_a_run_on_kept_features_that_was_stopped_ends_with_bit_identical_weights(job, tmp_path, views, num_workers):
    common = {
        "model_args": frozen(feature_views=views, ema_decay=0.9),
        "gradient_accumulation_steps": 2,
        "steps": 9,
        "logger_args": LoggerArgs(log_every_num_steps=2, val_every_num_steps=3),
        "save_checkpoint_args": SaveCheckpointArgs(save_every_num_steps=1),
    }
    job.run(**common)
    stopped = RunFolder(tmp_path / "stopped")
    passes = iter(range(2 * 4))

    def stop_in_step_five(module, arguments):
        if module.training and next(passes, None) is None:
            raise Stopped

    with pytest.raises(Stopped):
        job.run(**common, out=stopped, change=lambda model: model.head.register_forward_pre_hook(stop_in_step_five))
    assert torch.load(stopped.checkpoint, weights_only=True)["step"] == 4
    job.run(**common, out=stopped, resume=True, num_workers=num_workers)
    one, other = (load_exported(folder.exported_last).state for folder in (job.out, stopped))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert job.out.metrics.read_text() == stopped.metrics.read_text()


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot send SIGTERM to a process of its own")
def test_a_run_asked_to_stop_while_it_computes_features_can_go_on(job, tmp_path):
    whole = RunFolder(tmp_path / "whole")
    job.run(model_args=frozen(), out=whole)

    def stop_at_the_second_batch(classifier):
        images = iter([1, 1, 8, 8])

        def hook(module, inputs, output):
            if next(images, 0) == 8:
                os.kill(os.getpid(), signal.SIGTERM)

        next(m for m in classifier.backbone.modules() if isinstance(m, torch.nn.Conv2d)).register_forward_hook(hook)

    with pytest.raises(SystemExit) as caught:
        job.run(model_args=frozen(), change=stop_at_the_second_batch)
    assert caught.value.code == 128 + signal.SIGTERM
    assert torch.load(job.out.checkpoint, weights_only=True)["step"] == 0
    job.run(model_args=frozen(), resume=True)
    assert torch.equal(head(job.out), head(whole))


def test_features_too_large_for_memory_lie_in_a_file_that_is_gone_at_the_end(job, tmp_path, monkeypatch):
    job.run(model_args=frozen(feature_views=2))
    files = {path.name for path in job.out.root.rglob("*") if path.is_file() and "tfevents" not in path.name}
    monkeypatch.setattr(lt_train.features, "IN_MEMORY_BYTES", 100)
    small = RunFolder(tmp_path / "small")
    job.run(model_args=frozen(feature_views=2), out=small)
    assert torch.equal(head(job.out), head(small))
    assert "kept in a file" in small.log.read_text()
    assert {path.name for path in small.root.rglob("*") if path.is_file() and "tfevents" not in path.name} == files


def test_features_on_a_node_without_the_run_folder_lie_in_a_temporary_folder(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(lt_train.features, "IN_MEMORY_BYTES", 100)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with caplog.at_level(logging.INFO, "lt_train"):
        table = lt_train.features.allocate(10, 5, tmp_path / "on_another_node")
    table[:] = 3.0
    assert table.sum() == 150
    assert f"{tmp_path}, as" in caplog.text
    assert "on_another_node is not on this machine" in caplog.text


def test_a_resumed_run_that_early_stopping_had_ended_computes_no_features(job):
    settings = {
        "model_args": frozen(lr=1e-30),
        "logger_args": LoggerArgs(val_every_num_steps=1),
        "early_stopping_args": EarlyStoppingArgs(patience=2),
    }
    result = job.run(**settings)
    assert load_exported(job.out.exported_last).step == 3
    computed = job.out.log.read_text().count("features of")
    assert job.run(**settings, resume=True).best_metrics == result.best_metrics
    assert job.out.log.read_text().count("features of") == computed == 1


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="only POSIX can set room on a disk aside")
def test_features_that_no_disk_holds_are_refused_with_what_to_set(tmp_path):
    with pytest.raises(OutOfSpaceError, match="feature_views"):
        lt_train.features.allocate(10**9, 10**4, tmp_path)


def test_an_image_that_cannot_be_read_is_replaced_as_in_any_run(job, write_samples, tmp_path):
    many = write_samples(tmp_path / "many", 120, seed=3)
    (tmp_path / "many" / "7.png").write_bytes(b"no image")
    left_out = attrs.evolve(job, data=attrs.evolve(job.data, train=many))
    left_out.run(model_args=frozen())
    assert "7.png" in job.out.log.read_text()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"feature_views": 0}, "backbone learns"),
        ({"feature_views": 2, "backbone_freeze": 1}, "backbone learns"),
        ({"feature_views": 1, "backbone_freeze": True, "mixup_alpha": 0.2}, "mixup"),
    ],
)
def test_features_are_kept_only_where_they_do_not_change(job, settings, message):
    with pytest.raises(TrainConfigError, match=f"feature_views: .*{message}"):
        job.run(model_args=ModelArgs(**settings))


def test_mixup_runs_the_frozen_backbone_at_every_step(job):
    seen = Seen()
    job.run(model_args=frozen(mixup_alpha=0.2), steps=6, change=seen.watch)
    assert sum(seen.images) > 6 * 8
