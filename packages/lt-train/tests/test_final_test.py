"""The test split, which the best model sees once, at the end."""

from __future__ import annotations

import csv
import json
import signal

import attrs
import numpy as np
import pytest
import torch

from lt_data import DatasetError, ImageDecodeError, load_inputs
from lt_train import (
    CalibrationArgs,
    LoggerArgs,
    MetricArgs,
    ModelArgs,
    ResumeError,
    SaveCheckpointArgs,
    load_exported,
    measure,
)

# Of the models that answer green wherever it is right, the one with the lowest loss is the best; the last is another.
METRICS = MetricArgs(
    watch_metric="val_metric/recall/green", classwise=True, expected_calibration_error=CalibrationArgs()
)
FREQUENT = LoggerArgs(val_every_num_steps=2, log_every_num_steps=2)
UNSTEADY = {"steps": 8, "model_args": ModelArgs(lr=0.1, lr_warmup_steps=0), "logger_args": FREQUENT}


@pytest.fixture
def tested(job, write_samples):
    """A run with a test split."""
    samples = write_samples(job.out.root.parent / "test", 11, seed=2)
    return attrs.evolve(job, data=attrs.evolve(job.data, test=samples))


@torch.no_grad()
def counted(path, samples, batch_size=8):
    """What `measure` makes of an exported model's scores."""
    exported = load_exported(path)
    model = exported.build().eval()
    inputs = torch.from_numpy(load_inputs([samples.path(i) for i in range(len(samples))], exported.task.preprocessing))
    scores = torch.cat([model(part).softmax(dim=1) for part in inputs.split(batch_size)]).numpy()
    return measure(exported.task, scores, np.asarray([samples.target(i) for i in range(len(samples))]), METRICS)


def test_the_best_model_is_tested_to_the_bit_and_not_the_last(tested):
    result = tested.run(metric_args=METRICS, **UNSTEADY)
    assert result.best_step < 8
    best = counted(tested.out.exported_best, tested.data.test)
    named = {f"test_metric/{name}": value for name, value in best.metrics.items()}
    assert {name: value for name, value in result.test_metrics.items() if name != "test_loss"} == named
    assert result.test_metrics["test_loss"] > 0
    last = counted(tested.out.exported_last, tested.data.test)
    assert last.metrics != best.metrics


def test_a_validation_is_what_measure_makes_of_the_same_scores(job):
    result = job.run(metric_args=METRICS, **UNSTEADY)
    best = counted(job.out.exported_best, job.data.val)
    named = {f"val_metric/{name}": value for name, value in best.metrics.items()}
    assert {name: value for name, value in result.best_metrics.items() if name != "val_loss"} == named
    assert best.samples == len(job.data.val)
    assert result.test_metrics is None
    assert "test" not in json.loads(job.out.report.read_text())
    assert not job.out.test_per_class.exists()


def test_the_test_is_in_the_report_the_log_and_the_metrics_of_the_run(tested):
    result = tested.run(metric_args=METRICS, **UNSTEADY)
    report = json.loads(tested.out.report.read_text())
    assert report["test"]["metrics"] == result.test_metrics
    assert report["test"]["step"] == result.best_step
    assert np.sum(report["test"]["confusion"]["counts"]) == 11
    with open(tested.out.test_per_class, encoding="utf-8", newline="") as stream:
        assert [row["support"] for row in csv.DictReader(stream)] == ["4", "4", "3"]
    assert f"test: 11 images, model of step {result.best_step}: test_loss" in tested.out.log.read_text()
    lines = [json.loads(line) for line in tested.out.metrics.read_text().splitlines()]
    assert [line for line in lines if "test_loss" in line] == [{"step": 8, **result.test_metrics}]


def test_a_run_that_had_ended_is_tested_again_with_the_same_result_and_no_second_line(tested):
    first = tested.run(**UNSTEADY)
    lines, report = tested.out.metrics.read_text(), tested.out.report.read_text()
    assert tested.run(resume=True, **UNSTEADY) == first
    assert tested.out.metrics.read_text() == lines
    assert tested.out.report.read_text() == report


def test_where_no_best_model_is_saved_the_last_one_is_tested_and_it_is_said(tested):
    result = tested.run(save_checkpoint_args=SaveCheckpointArgs(save_best=False), metric_args=METRICS, **UNSTEADY)
    assert "no best model was saved" in tested.out.log.read_text()
    assert json.loads(tested.out.report.read_text())["test"]["step"] == 8
    last = counted(tested.out.exported_last, tested.data.test)
    assert result.test_metrics["test_metric/f1_macro"] == last.metrics["f1_macro"]


def test_a_model_whose_features_were_kept_is_tested_as_a_whole(tested):
    frozen = ModelArgs(lr=1e-2, backbone_freeze=True)
    result = tested.run(steps=4, model_args=frozen, metric_args=METRICS, logger_args=FREQUENT)
    best = counted(tested.out.exported_best, tested.data.test)
    assert result.test_metrics["test_metric/f1/red"] == best.metrics["f1/red"]


def test_test_images_of_another_kind_are_found_before_anything_is_written(tested):
    for i in range(11):
        tested.data.test.path(i).write_bytes(b"no image")
    with pytest.raises(ImageDecodeError, match="test"):
        tested.run()
    assert not tested.out.root.exists()


def test_too_many_unreadable_test_images_are_an_error_that_costs_nothing_of_the_run(tested):
    broken = {tested.data.test.path(i): tested.data.test.path(i).read_bytes() for i in (9, 10)}
    for path in broken:
        path.write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"10\.png"):
        tested.run(**UNSTEADY)
    assert "best" in json.loads(tested.out.report.read_text())
    for path, whole in broken.items():
        path.write_bytes(whole)
    assert tested.run(resume=True, **UNSTEADY).test_metrics


def test_a_resumed_run_refuses_another_test_split(tested, write_samples):
    tested.run(**UNSTEADY)
    other = write_samples(tested.out.root.parent / "other", 10, seed=5)
    changed = attrs.evolve(tested, data=attrs.evolve(tested.data, test=other))
    with pytest.raises(ResumeError, match="the test images have changed since"):
        changed.run(resume=True, **UNSTEADY)


@pytest.mark.parametrize("swapped", [False, True])
def test_a_resumed_run_refuses_to_test_another_model_than_the_best(tested, swapped):
    best_step = tested.run(metric_args=METRICS, **UNSTEADY).best_step
    assert best_step < 8
    tested.out.exported_best.unlink()
    if swapped:
        tested.out.exported_best.write_bytes(tested.out.exported_last.read_bytes())
    with pytest.raises(ResumeError, match=rf"exported_best\.pt: .* step {best_step}; put that file back"):
        tested.run(resume=True, metric_args=METRICS, **UNSTEADY)


def test_a_signal_in_the_test_ends_the_run_which_is_then_tested_by_the_resumed_one(tested, monkeypatch):
    from lt_train import final_test

    built = final_test.build_classifier

    def interrupted(*arguments, **more):
        signal.raise_signal(signal.SIGINT)
        return built(*arguments, **more)

    monkeypatch.setattr(final_test, "build_classifier", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tested.run(**UNSTEADY)
    assert "test" not in json.loads(tested.out.report.read_text())
    monkeypatch.undo()
    assert tested.run(resume=True, **UNSTEADY).test_metrics
