from __future__ import annotations

import json
import logging
import math
import os
import signal
import subprocess
import sys
import threading
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lt_data import ConfigError, DatasetError, ImageDecodeError, SampleIndex, TransformConfig, load_inputs, structure
from lt_data.torch import Augmentation
from lt_models import ClassifierSpec, build_classifier
from lt_train import (
    EarlyStoppingArgs,
    LoaderArgs,
    LoggerArgs,
    MetricArgs,
    ModelArgs,
    ResumeError,
    RunFolder,
    RunFolderError,
    SaveCheckpointArgs,
    TrainConfig,
    TrainConfigError,
    TrainingDivergedError,
    check_devices,
    fit,
    load_exported,
)
from lt_train.loggers.build import Loggers
from lt_train.state import Patience


def weights_of(folder: RunFolder) -> dict[str, torch.Tensor]:
    return load_exported(folder.exported_last).state


def assert_bit_identical(first: RunFolder, second: RunFolder) -> None:
    one, other = weights_of(first), weights_of(second)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert first.metrics.read_text() == second.metrics.read_text()


def test_the_page_about_a_run_is_written_when_all_else_is_on_the_disk(job):
    seen = []

    def page(result, device):
        seen.append((result, device, load_exported(job.out.exported_last).step, job.out.report.is_file()))
        (job.out.root / "page.html").touch()
        return job.out.root / "page.html"

    result = job.run(page=page)
    assert seen == [(attrs.evolve(result, report=None), torch.device("cpu"), 6, True)]
    assert result.report == job.out.root / "page.html"
    assert "done: best" in job.out.log.read_text()


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no such signal")
def test_a_signal_while_the_page_is_written_acts_at_once_and_the_run_is_complete(job, monkeypatch):
    def page(result, device):
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("the page is written to its end")

    closed = []
    monkeypatch.setattr(Loggers, "close", lambda self, outcome: closed.append(outcome))
    with pytest.raises(SystemExit) as caught:
        job.run(page=page)
    assert caught.value.code == 143
    assert closed == ["finished"], "for the loggers the run is complete"
    assert json.loads(job.out.report.read_text())["last"]["step"] == 6
    assert load_exported(job.out.exported_best).metrics


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no such signal")
@pytest.mark.parametrize("where", ["lt_train.run.write_report", "lt_train.training.log_end"])
@pytest.mark.parametrize(("number", "outcome"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_one_signal_at_the_end_of_a_run_ends_it_with_the_documented_status_and_the_run_is_complete(
    job, monkeypatch, where, number, outcome
):
    module, _, name = where.rpartition(".")
    done = getattr(import_module(module), name)

    def interrupted(*arguments):
        os.kill(os.getpid(), number)
        return done(*arguments)

    monkeypatch.setattr(where, interrupted)
    with pytest.raises(outcome) as caught:
        job.run(steps=2, page=lambda result, device: pytest.fail("a page is written after the signal"))
    assert outcome is KeyboardInterrupt or caught.value.code == 143
    assert load_exported(job.out.exported_last).step == 2
    assert json.loads(job.out.report.read_text())["last"]["step"] == 2
    monkeypatch.undo()
    assert job.run(steps=2, resume=True).last_metrics


def test_a_run_leaves_the_files_of_the_reference_page(job):
    result = job.run(logger_args=LoggerArgs(val_every_num_steps=2, log_every_num_steps=1))
    names = sorted(path.relative_to(job.out.root).as_posix() for path in job.out.root.rglob("*") if path.is_file())
    events = next(name for name in names if name.startswith("events.out.tfevents."))
    assert names == [
        "checkpoints/last.ckpt",
        events,
        "exported_models/exported_best.pt",
        "exported_models/exported_last.pt",
        "metrics.json",
        "metrics.jsonl",
        "per_class.csv",
        "settings.json",
        "train.log",
    ]
    assert result.exported_best == job.out.exported_best
    assert job.out.log.read_text().split("\n")[0].endswith("arguments: {")
    best = load_exported(job.out.exported_best)
    assert best.step == result.best_step
    assert best.metrics == result.best_metrics


def test_the_settings_of_a_run_are_there_with_what_auto_became_and_why(job):
    job.run(steps=2)
    settings = json.loads(job.out.settings.read_text(encoding="utf-8"))
    assert set(settings) == {"format", "version", "resolved", "reasons", "devices", "packages"}
    assert settings["resolved"]["steps"] == 2
    assert settings["resolved"]["accelerator"] == "cpu"
    assert settings["resolved"]["model_args.lr_warmup_steps"] == 0
    assert settings["reasons"]
    assert settings["devices"] | {"count": 1, "type": "cpu", "nodes": 1, "name": None} == settings["devices"]
    assert settings["packages"]["torch"]


def test_values_reach_jsonl_and_tensorboard_alike(job):
    job.run(logger_args=LoggerArgs(val_every_num_steps=3, log_every_num_steps=2))
    lines = [json.loads(line) for line in job.out.metrics.read_text().splitlines()]
    assert [line["step"] for line in lines if "train_loss" in line] == [2, 4, 6]
    assert [line["step"] for line in lines if "val_loss" in line] == [3, 6]
    assert {"train_loss", "learning_rate", "gradient_norm"} <= set(lines[0])
    events = EventAccumulator(str(job.out.root)).Reload()
    for name in ("train_loss", "val_metric/top1_acc_micro"):
        logged = {scalar.step: scalar.value for scalar in events.Scalars(name)}
        assert logged == pytest.approx({line["step"]: line[name] for line in lines if name in line})


def test_the_model_learns_and_the_best_validation_is_exported(job):
    result = job.run(steps=40, model_args=ModelArgs(lr=3e-3), logger_args=LoggerArgs(val_every_num_steps=5))
    lines = [json.loads(line) for line in job.out.metrics.read_text().splitlines()]
    validations = [line for line in lines if "val_loss" in line]
    highest = max(line["val_metric/top1_acc_micro"] for line in validations)
    assert highest == result.best_metrics["val_metric/top1_acc_micro"] >= 0.8
    equals = [line for line in validations if line["val_metric/top1_acc_micro"] == highest]
    assert len(equals) > 1
    assert result.best_step == min(equals, key=lambda line: line["val_loss"])["step"]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(job, tmp_path):
    again, other = RunFolder(tmp_path / "again"), RunFolder(tmp_path / "other")
    job.run(seed=1)
    job.run(seed=1, out=again)
    job.run(seed=2, out=other)
    assert_bit_identical(job.out, again)
    assert any(not torch.equal(a, weights_of(other)[name]) for name, a in weights_of(job.out).items())


@pytest.mark.parametrize("num_workers", [1, 2])
def test_the_number_of_workers_changes_nothing(job, tmp_path, num_workers):
    parallel = RunFolder(tmp_path / "parallel")
    job.run(num_workers=0)
    job.run(num_workers=num_workers, out=parallel)
    assert_bit_identical(job.out, parallel)


def test_workers_may_be_spawned(job, tmp_path):
    spawned = RunFolder(tmp_path / "spawned")
    job.run(steps=2)
    args = LoaderArgs(multiprocessing_context="spawn", prefetch_factor=1, timeout=100.0)
    job.run(steps=2, num_workers=1, loader_args=args, out=spawned)
    assert_bit_identical(job.out, spawned)


class Stopped(Exception):
    """What a power cut is to a test in the same process."""


REPORTED = {"train": True, "classwise": True}
EVERYTHING = {
    "ema_decay": 0.9,
    "mixup_alpha": 0.4,
    "cutmix_alpha": 1.0,
    "sampler": "balanced",
    "class_weights": "balanced",
    "layer_decay": 0.7,
    "label_smoothing": 0.1,
}


@pytest.mark.parametrize(
    ("name", "stop_at", "num_workers", "accumulation", "threads", "settings"),
    [
        ("job", 1, 0, 1, 1, {}),
        ("job", 4, 2, 1, 2, {}),
        ("job", 5, 0, 3, 1, {}),
        ("job", 4, 2, 2, 1, EVERYTHING),
        ("multilabel_job", 2, 0, 1, 1, {}),
        ("multilabel_job", 5, 2, 2, 1, {**EVERYTHING, "loss": "asymmetric"}),
    ],
)
def test_a_run_stopped_at_any_step_and_resumed_ends_with_bit_identical_weights(
    request, tmp_path, name, stop_at, num_workers, accumulation, threads, settings
):
    torch.set_num_threads(threads)
    request.addfinalizer(lambda: torch.set_num_threads(1))
    job = request.getfixturevalue(name)
    common = {
        "model_args": ModelArgs(**settings),
        "early_stopping_args": EarlyStoppingArgs(patience=50) if settings else None,
        "gradient_accumulation_steps": accumulation,
        "logger_args": LoggerArgs(log_every_num_steps=3, val_every_num_steps=4),
        "metric_args": MetricArgs(**REPORTED),
        "save_checkpoint_args": SaveCheckpointArgs(save_every_num_steps=1),
    }
    job.run(**common)
    stopped = RunFolder(tmp_path / "stopped")
    passes = iter(range(stop_at * accumulation))

    def stop_in_the_next_step(module, arguments):
        if module.training and next(passes, None) is None:
            raise Stopped

    with pytest.raises(Stopped):
        job.run(**common, out=stopped, change=lambda model: model.register_forward_pre_hook(stop_in_the_next_step))
    assert torch.load(stopped.checkpoint, weights_only=True)["step"] == stop_at
    result = job.run(**common, out=stopped, resume=True, num_workers=num_workers)
    assert_bit_identical(job.out, stopped)
    assert job.out.report.read_text() == stopped.report.read_text()
    assert job.out.per_class.read_text() == stopped.per_class.read_text()
    assert result.best_step == load_exported(job.out.exported_best).step
    assert "resumed" in stopped.log.read_text()


def test_resuming_a_finished_run_changes_nothing(job):
    first = job.run()
    before = weights_of(job.out)
    report = job.out.report.read_text()
    second = job.run(resume=True)
    assert second.best_metrics == first.best_metrics
    assert job.out.report.read_text() == report
    assert all(torch.equal(tensor, weights_of(job.out)[name]) for name, tensor in before.items())
    log = job.out.log.read_text()
    assert log.count("training on") == 1
    assert "nothing is left to train" in log


def test_resuming_with_another_argument_or_other_data_names_the_difference(job):
    job.run()
    with pytest.raises(ResumeError, match="batch_size: was '8', is '4'"):
        job.run(resume=True, batch_size=4)
    (job.data.train.root / "0.png").rename(job.data.train.root / "renamed.png")

    paths = ["renamed.png", *(f"{i}.png" for i in range(1, 20))]

    renamed = SampleIndex.from_paths(job.data.train.root, paths, job.data.train.labels, num_classes=3)
    changed = attrs.evolve(job, data=attrs.evolve(job.data, train=renamed))
    with pytest.raises(ResumeError, match="the training images have changed since: .* renamed") as one:
        changed.run(resume=True)
    assert "argument" not in str(one.value)
    assert "train_files" not in str(one.value)


def test_resuming_with_another_training_size_or_another_model_names_the_difference(job):
    job.run(steps=1)
    larger = attrs.evolve(job.task.preprocessing, image_size=(48, 48))
    augmentation = Augmentation.from_config(TransformConfig(color_jitter=None), larger)
    changed = attrs.evolve(job, data=attrs.evolve(job.data, augmentation=augmentation))
    with pytest.raises(ResumeError, match=r"train_preprocessing\.image_size: was \[32, 32\], is \[48, 48\]"):
        changed.run(steps=1, resume=True)
    with pytest.raises(ResumeError, match=r"classifier\.head: was 'linear', is 'mlp'"):
        job.run(steps=1, resume=True, change=lambda model: setattr(model, "spec", attrs.evolve(model.spec, head="mlp")))


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot send SIGTERM to a thread's own process")
@pytest.mark.parametrize(("number", "outcome"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_run_asked_to_stop_saves_first_and_can_go_on(job, tmp_path, number, outcome):
    common = {"steps": 60, "logger_args": LoggerArgs(log_every_num_steps=1)}
    whole = RunFolder(tmp_path / "whole")
    job.run(**common, out=whole)
    previous = signal.getsignal(number)

    def ask() -> None:
        while not job.out.metrics.is_file() or not job.out.metrics.read_text():
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=ask)
    thread.start()
    with pytest.raises(outcome) as caught:
        job.run(**common)
    thread.join()
    assert signal.getsignal(number) is previous
    if outcome is SystemExit:
        assert caught.value.code == 128 + signal.SIGTERM
    else:
        assert "`resume_interrupted` goes on from here" in str(caught.value)
    assert "stopped at step" in job.out.log.read_text()
    job.run(**common, resume=True)
    assert_bit_identical(whole, job.out)


def test_an_unknown_watch_metric_is_refused_before_training_with_the_names(job):
    with pytest.raises(TrainConfigError, match="val_metric/f1_macro"):
        job.run(metric_args=MetricArgs(watch_metric="val_metric/top1"))
    assert not job.out.root.exists()


@pytest.mark.parametrize("key", ["recall", "precision", "f1"])
def test_a_watched_class_that_no_validation_image_has_is_refused_before_training(job, key):
    val = job.data.val.take(np.flatnonzero(job.data.val.labels != 1))
    absent = attrs.evolve(job, data=attrs.evolve(job.data, val=val))
    watched = MetricArgs(watch_metric=f"val_metric/{key}/green", classwise=True)
    with pytest.raises(TrainConfigError, match=r"metric_args.watch_metric: .*no validation image has class 'green'"):
        absent.run(metric_args=watched)
    assert not job.out.root.exists()


@pytest.mark.parametrize(
    ("key", "everywhere", "refused"),
    [
        ("precision", False, "no validation image has class 'red'"),
        ("average_precision", False, "no validation image has class 'red'"),
        ("auroc", False, "no validation image has class 'red'"),
        ("auroc", True, "every validation image has class 'red'.* images without it"),
        ("average_precision", True, None),
    ],
)
def test_a_watched_class_is_refused_where_a_multilabel_split_leaves_its_metric_undefined(
    multilabel_job, key, everywhere, refused
):
    has = np.array([0 in multilabel_job.data.val.labels_of(i) for i in range(len(multilabel_job.data.val))])
    val = multilabel_job.data.val.take(np.flatnonzero(has == everywhere))
    job = attrs.evolve(multilabel_job, data=attrs.evolve(multilabel_job.data, val=val))
    settings = {"metric_args": MetricArgs(watch_metric=f"val_metric/{key}/red", classwise=True), "steps": 1}
    if refused is None:
        assert job.run(**settings).exported_best is not None
        return
    with pytest.raises(TrainConfigError, match=refused):
        job.run(**settings)
    assert not job.out.root.exists()


def test_of_single_classes_only_the_watched_metric_is_on_the_screen(job, caplog):
    with caplog.at_level(logging.INFO):
        job.run(steps=1, metric_args=MetricArgs(watch_metric="val_metric/recall/green", classwise=True))
    (line,) = (line for line in caplog.messages if "(best)" in line)
    assert "recall/green " in line
    assert "recall/red" not in line
    assert "f1/green" not in line


def test_the_watched_metric_may_be_the_loss(job):
    result = job.run(metric_args=MetricArgs(watch_metric="val_loss"), logger_args=LoggerArgs(val_every_num_steps=1))
    lines = [json.loads(line) for line in job.out.metrics.read_text().splitlines()]
    losses = [line["val_loss"] for line in lines if "val_loss" in line]
    assert result.best_metrics["val_loss"] == min(losses)


def test_a_loss_that_is_not_finite_ends_the_run_with_advice(job):
    with pytest.raises(
        TrainingDivergedError, match=r"lower model_args\.lr \(now 1e\+30, 7\.\d+e\+29 at this batch size\)"
    ):
        job.run(steps=30, model_args=ModelArgs(lr=1e30, gradient_clip_val=0.0))


def test_what_is_not_finite_is_never_saved_even_between_two_logs(job):
    with pytest.raises(TrainingDivergedError, match="is from before"):
        job.run(
            steps=30,
            model_args=ModelArgs(lr=1e30, gradient_clip_val=0.0),
            logger_args=LoggerArgs(log_every_num_steps=30, val_every_num_steps=30),
            save_checkpoint_args=SaveCheckpointArgs(save_every_num_steps=1),
        )
    assert all(torch.isfinite(tensor).all() for tensor in weights_of(job.out).values())


def truncate(path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize("split", ["train", "val"])
def test_an_image_that_cannot_be_read_is_left_out_and_logged_with_its_reason(job, tmp_path, split, write_samples):
    samples = write_samples(tmp_path / "more", 120, seed=2)
    truncate(samples.path(70))
    job = attrs.evolve(job, data=attrs.evolve(job.data, **{split: samples}))
    job.run(steps=20)
    (line,) = [line for line in job.out.log.read_text().splitlines() if "left out" in line]
    assert str(samples.path(70)) in line
    assert "truncated" in line


def test_bad_images_that_are_more_than_a_few_end_the_run(job):
    for i in (3, 7, 11):
        truncate(job.data.train.path(i))
    with pytest.raises(DatasetError, match="3 of 20 images cannot be read, more than the 2 that may be left out"):
        job.run()


@pytest.mark.parametrize("bad", [0, 7])
def test_the_policy_error_ends_the_run_at_the_first_bad_image(job, bad):
    truncate(job.data.train.path(bad))
    job = attrs.evolve(job, data=attrs.evolve(job.data, on_bad_image="error"))
    with pytest.raises(ImageDecodeError, match=rf"{bad}\.png"):
        job.run()


@pytest.mark.parametrize("name", ["arguments", "asked"])
def test_arguments_that_no_file_can_hold_are_refused_before_the_earlier_run_is_removed(job, name):
    job.run(steps=1)
    before = weights_of(job.out)
    classifier = build_classifier(ClassifierSpec(model="timm/test_resnet-notpretrained", num_classes=3))
    given = {name: {"a": 1, "deep": [{"class": {1}}]}}
    with pytest.raises(TrainConfigError, match=r"deep\[0\]\.class: .*\{1\}"):
        fit(out=job.out, classifier=classifier, task=job.task, data=job.data, config=TrainConfig(steps=1), **given)
    assert weights_of(job.out).keys() == before.keys()


@pytest.mark.parametrize("kind", ["ram", "disk"])
def test_a_run_with_a_cache_is_the_same_for_any_number_of_workers_and_leaves_nothing_behind(job, tmp_path, kind):
    job = attrs.evolve(job, data=attrs.evolve(job.data, cache=kind))
    job.run(steps=9)
    job.run(steps=9, num_workers=2, out=(parallel := RunFolder(tmp_path / "parallel")))
    assert_bit_identical(job.out, parallel)
    assert not job.out.cache.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists open files in /proc")
@pytest.mark.parametrize("kind", ["ram", "disk"])
def test_a_run_with_a_cache_leaves_no_file_open(job, kind):
    attrs.evolve(job, data=attrs.evolve(job.data, cache=kind)).run(steps=2)
    files = [os.path.realpath(descriptor) for descriptor in Path("/proc/self/fd").iterdir()]
    assert not [file for file in files if "lt-data-cache" in file]


def test_a_run_with_a_cache_leaves_foreign_files_and_removes_what_a_killed_run_left(job):
    job = attrs.evolve(job, data=attrs.evolve(job.data, cache="disk"))
    job.run(steps=1)
    job.out.cache.mkdir()
    for name in ("mine.txt", "lt-data-cache-of-a-killed-run"):
        (job.out.cache / name).touch()
    job.run(steps=1, resume=True)
    assert [path.name for path in job.out.cache.iterdir()] == ["mine.txt"]


def test_a_run_that_fails_leaves_no_cache(job):
    job = attrs.evolve(job, data=attrs.evolve(job.data, cache="disk"))
    with pytest.raises(TrainingDivergedError):
        job.run(steps=30, model_args=ModelArgs(lr=1e30, gradient_clip_val=0.0))
    assert not job.out.cache.exists()


def test_a_batch_larger_than_the_data_set_still_trains(job):
    assert job.run(steps=2, batch_size=50).best_step in (1, 2)


def test_only_the_head_learns_when_the_backbone_is_frozen(job):
    job.run(steps=1, model_args=ModelArgs(backbone_freeze=True))
    before = weights_of(job.out)
    job.run(steps=3, model_args=ModelArgs(backbone_freeze=True))
    after = weights_of(job.out)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"head.weight", "head.bias"}


def test_the_average_of_the_weights_is_what_is_validated_exported_and_predicts(job):
    # The weights of the steps themselves swing far at this rate; their average is calm.
    settings = {"lr": 3e-2, "lr_warmup_steps": 0, "ema_decay": 0.9}
    result = job.run(steps=30, model_args=ModelArgs(**settings), logger_args=LoggerArgs(val_every_num_steps=30))
    exported, checkpoint = load_exported(job.out.exported_last), load_exported(job.out.checkpoint)
    training = torch.load(job.out.checkpoint, weights_only=True)["training_weights"]
    assert all(torch.equal(tensor, checkpoint.state[name]) for name, tensor in exported.state.items())
    assert not torch.equal(training["head.weight"], exported.state["head.weight"])
    inputs = load_inputs([job.data.val.path(i) for i in range(len(job.data.val))], job.task.preprocessing)
    with torch.no_grad():
        logits = exported.build().eval()(torch.from_numpy(inputs))
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(job.data.val.labels).long())
    assert result.last_metrics["val_loss"] == pytest.approx(loss.item(), abs=1e-5)


def test_a_run_without_improvement_ends_early_and_stays_ended(job):
    settings = {
        "model_args": ModelArgs(lr=1e-30),
        "logger_args": LoggerArgs(val_every_num_steps=2),
        "early_stopping_args": EarlyStoppingArgs(patience=3),
        "steps": 40,
    }
    result = job.run(**settings)
    assert load_exported(job.out.exported_last).step == 8
    assert "has not improved by more than 0 in 3 validations: ended at step 8" in job.out.log.read_text()
    lines = job.out.metrics.read_text()
    again = job.run(**settings, resume=True)
    assert again.best_metrics == result.best_metrics
    assert job.out.metrics.read_text() == lines


@pytest.mark.parametrize(
    ("values", "min_delta", "less_is_better", "waited"),
    [
        ([0.5, 0.6, 0.7], 0.0, False, [0, 0, 0]),
        ([0.5, 0.505, 0.509, 0.52], 0.01, False, [0, 1, 2, 0]),
        ([0.5, 0.4, 0.4, math.nan, 0.3], 0.0, True, [0, 0, 1, 2, 0]),
    ],
)
def test_patience_waits_for_an_improvement_by_min_delta(values, min_delta, less_is_better, waited):
    patience, found = Patience(), []
    for value in values:
        patience = patience.after(value, min_delta=min_delta, less_is_better=less_is_better)
        found.append(patience.waited)
    assert found == waited


def test_a_compiled_run_learns_and_its_files_are_those_of_any_other(job, tmp_path):
    plain = RunFolder(tmp_path / "plain")
    job.run(torch_compile_args={"backend": "eager"})
    job.run(out=plain)
    assert weights_of(job.out).keys() == weights_of(plain).keys()
    for name, tensor in weights_of(plain).items():
        torch.testing.assert_close(weights_of(job.out)[name], tensor, rtol=1e-3, atol=1e-5)


def test_what_torch_compile_does_not_know_is_refused_with_the_setting(job):
    for args in ({"speed": "ludicrous"}, {"backend": "nope"}, {"mode": "nope"}, {"dynamic": "nope"}):
        with pytest.raises(TrainConfigError, match=r"torch_compile_args"):
            job.run(torch_compile_args=args)
    assert not job.out.root.exists()


@pytest.mark.parametrize("asked", [1, "norms"])
def test_a_part_of_the_backbone_learns_when_the_rest_is_frozen(job, asked):
    # Weight decay and statistics of norms would change frozen parts too, if they were not left alone.
    job.run(steps=1, model_args=ModelArgs(backbone_freeze=asked, weight_decay=0.1))
    before = weights_of(job.out)
    job.run(steps=3, model_args=ModelArgs(backbone_freeze=asked, weight_decay=0.1))
    after = weights_of(job.out)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    inside = {name for name in changed if name.startswith("backbone.")}
    assert {"head.weight", "head.bias"} == changed - inside
    if asked == "norms":
        assert inside
        assert all(before[name].ndim <= 1 for name in inside)
    else:
        assert {name.split(".")[1] for name in inside} == {"layer4"}


def test_layer_decay_slows_early_layers(job, tmp_path):
    slow, even = RunFolder(tmp_path / "slow"), RunFolder(tmp_path / "even")
    start = attrs.evolve(job, out=RunFolder(tmp_path / "start"))
    start.run(steps=1, model_args=ModelArgs(lr=1e-30))
    for out, decay in ((slow, 0.2), (even, None)):
        job.run(steps=1, out=out, model_args=ModelArgs(lr=1e-3, layer_decay=decay))
    moved = {
        out.root.name: {
            name: (tensor - weights_of(start.out)[name]).abs().max() for name, tensor in weights_of(out).items()
        }
        for out in (slow, even)
    }
    assert moved["slow"]["backbone.conv1.0.weight"] < 0.1 * moved["even"]["backbone.conv1.0.weight"]
    torch.testing.assert_close(moved["slow"]["head.weight"], moved["even"]["head.weight"], rtol=0.2, atol=0)


def test_loggers_and_exports_can_be_turned_off(job):
    result = job.run(
        logger_args=LoggerArgs(tensorboard=None, jsonl=None),
        save_checkpoint_args=SaveCheckpointArgs(save_best=False, save_last=False),
    )
    files = {path.name for path in job.out.root.rglob("*") if path.is_file()}
    assert files == {"last.ckpt", "metrics.json", "per_class.csv", "settings.json", "train.log"}
    assert result.exported_best is None
    assert result.exported_last is None


@pytest.mark.parametrize("devices", [0, -2, "cpu", "0", "1,x", (), (1, 1), (-1,)])
def test_devices_that_cannot_be_meant_are_refused_by_their_name(devices):
    with pytest.raises((ConfigError, ValueError), match=r"devices +must be how many"):
        structure({"devices": devices}, TrainConfig, "")


@pytest.mark.parametrize("devices", ["auto", 1, 8, -1, "-1", "3", "0,1", "0,", (0,), (0, 2)])
def test_devices_may_be_a_number_or_indices(devices):
    assert structure({"devices": devices}, TrainConfig, "").devices == devices


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="there is no folder here that takes no files from anyone")
def test_a_folder_that_takes_no_files_is_refused_by_its_name(job):
    with pytest.raises(RunFolderError, match="/proc/run: cannot be written to .*choose another `out`"):
        job.run(out=RunFolder(Path("/proc/run")))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"accelerator": "abacus"}, r"accelerator: expected one of auto, gpu, cpu, cuda, mps, tpu, got 'abacus'"),
        ({"accelerator": "cpu", "devices": -1}, r"devices: on CPUs a number of processes, at least 1, got -1"),
        ({"accelerator": "cpu", "devices": (0, 1)}, r"devices: on CPUs a number of processes"),
    ],
)
def test_wrong_devices_are_refused_with_the_setting(job, settings, message):
    with pytest.raises(TrainConfigError, match=message):
        job.run(**settings)


def test_a_batch_that_cannot_be_divided_is_refused_before_a_process_is_started():
    with pytest.raises(
        TrainConfigError, match="batch_size 8 cannot be divided evenly over 9 devices; take a multiple of 9"
    ):
        check_devices(TrainConfig(accelerator="cpu", devices=9, batch_size=8))
    check_devices(TrainConfig(accelerator="cpu", devices=4, batch_size=8))


@pytest.mark.skipif(find_spec("torch_xla") is not None, reason="there may be a TPU here")
def test_a_tpu_without_its_package_is_refused_in_our_words(job):
    with pytest.raises(TrainConfigError, match="accelerator"):
        job.run(accelerator="tpu")


@pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_refused_with_the_setting(job):
    with pytest.raises(TrainConfigError, match=r"accelerator: 'gpu' is asked for, but .*take 'cpu' or 'auto'"):
        job.run(accelerator="gpu")


def test_classes_that_are_balanced_twice_are_warned_of(job, caplog):
    job.run(steps=1, model_args=ModelArgs(class_weights="balanced", sampler="balanced"))
    assert "together they do it twice" in caplog.text


def test_more_blocks_than_there_are_cannot_be_left_to_learn(job):
    with pytest.raises(TrainConfigError, match=r"model_args\.backbone_freeze: cannot let 99 blocks learn: .* has \d+"):
        job.run(steps=1, model_args=ModelArgs(backbone_freeze=99))


def test_importing_lt_train_imports_nothing_heavy():
    code = "import sys, lt_train; print(*{'torch', 'timm', 'lightning_fabric', 'tensorboard'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == ""


def test_a_batch_larger_than_the_data_is_warned_of(job):
    job.run(batch_size=24, steps=1)
    assert "batch_size 24 is more than the 20 training images" in job.out.log.read_text()


@pytest.mark.parametrize(
    ("settings", "valid"),
    [({"precision": "bf16-true"}, "bf16-mixed"), ({"strategy": "ddp_spawn"}, "fsdp")],
)
def test_what_would_give_other_scores_or_start_no_run_is_refused_with_what_there_is(settings, valid):
    with pytest.raises(ConfigError, match=valid):
        structure(settings, TrainConfig, "config")


def test_a_seed_that_is_too_large_is_refused_as_a_wrong_value_and_the_largest_runs(job):
    with pytest.raises(ConfigError, match=r"seed .*must be below 2\*\*64, got 18446744073709551616"):
        structure({"seed": 2**64}, TrainConfig, "config")
    job.run(steps=1, seed=2**64 - 1)


def test_one_image_at_a_time_is_refused_before_training_where_batch_normalisation_has_a_single_value_of_it(job):
    with pytest.raises(
        TrainConfigError, match=r"batch_size: 1 is one image at a time.*32 x 32 .*batch_size to 2 or more"
    ):
        job.run(batch_size=1)
    assert not job.out.log.exists()


def test_one_image_at_a_time_trains_where_batch_normalisation_rests_or_has_several_values(job):
    job.run(batch_size=1, steps=1, model_args=ModelArgs(backbone_freeze=True))
    large = attrs.evolve(job.task.preprocessing, image_size=(64, 64))
    augmentation = attrs.evolve(job.data.augmentation, preprocessing=large)
    job = attrs.evolve(
        job, out=RunFolder(job.out.root / "large"), data=attrs.evolve(job.data, augmentation=augmentation)
    )
    job.run(batch_size=1, steps=1)
