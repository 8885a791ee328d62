"""What a run says of itself: class by class, best and last, training and validation."""

from __future__ import annotations

import csv
import json
import math

import attrs
import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lt_data import Classes, Preprocessing, SampleIndex, TaskSpec, load_inputs
from lt_train import LoggerArgs, MetricArgs, ModelArgs, TrainConfigError, load_exported
from lt_train.metrics.tally import ClassTable
from lt_train.run_report import confusion_counts

FREQUENT = LoggerArgs(val_every_num_steps=5, log_every_num_steps=5)


def lines_of(job) -> list[dict[str, float]]:
    return [json.loads(line) for line in job.out.metrics.read_text().splitlines()]


def rows_of(job) -> list[dict[str, str]]:
    with open(job.out.per_class, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@torch.no_grad()
def scores_of_best(job) -> np.ndarray:
    """Scores counted by hand, image by image."""
    exported = load_exported(job.out.exported_best)
    model = exported.build().eval()
    samples = job.data.val
    inputs = [load_inputs([samples.path(i)], exported.task.preprocessing) for i in range(len(samples))]
    logits = torch.cat([model(torch.from_numpy(one)) for one in inputs])
    scores = logits.softmax(dim=1) if exported.task.task == "multiclass" else logits.sigmoid()
    return scores.numpy()


def targets_of(samples: SampleIndex) -> np.ndarray:
    return np.array([samples.target(i) for i in range(len(samples))])


def test_the_report_of_a_multiclass_run_is_that_of_its_best_model(job):
    result = job.run(steps=20, model_args=ModelArgs(lr=3e-3), logger_args=FREQUENT)
    truth, predicted = targets_of(job.data.val), scores_of_best(job).argmax(axis=1)
    report = json.loads(job.out.report.read_text())
    assert report["best"] == {"step": result.best_step, "metrics": result.best_metrics}
    assert report["last"] == {"step": 20, "metrics": result.last_metrics}
    assert report["watched"] == "val_metric/top1_acc_micro"
    assert report["classes"] == {"0": "red", "1": "green", "2": "blue"}
    assert report["confusion"]["counts"] == sk.confusion_matrix(truth, predicted, labels=[0, 1, 2]).tolist()
    rows = rows_of(job)
    assert list(rows[0]) == ["class_id", "name", "support", "precision", "recall", "f1"]
    assert [row["name"] for row in rows] == ["red", "green", "blue"]
    expected = sk.precision_recall_fscore_support(truth, predicted, labels=[0, 1, 2], zero_division=0)
    for key, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        assert [float(row[key]) for row in rows] == pytest.approx(values.tolist())


def test_the_report_of_a_multilabel_run_is_that_of_its_best_model(multilabel_job):
    job = multilabel_job
    result = job.run(steps=40, model_args=ModelArgs(lr=3e-3), logger_args=FREQUENT)
    truth, scores = targets_of(job.data.val).astype(bool), scores_of_best(job)
    assert result.best_metrics["val_metric/f1_macro"] == pytest.approx(
        sk.f1_score(truth, scores > 0.5, average="macro", zero_division=0), abs=1e-6
    )
    assert result.best_metrics["val_metric/f1_macro"] > 0.5
    assert result.best_metrics["val_loss"] == pytest.approx(sk.log_loss(truth.ravel(), scores.ravel()), abs=1e-5)
    report = json.loads(job.out.report.read_text())
    assert report["watched"] == "val_metric/f1_macro"
    assert "confusion" not in report
    rows = rows_of(job)
    assert [row["class_id"] for row in rows] == ["4", "7", "9"]
    expected = {
        "support": truth.sum(axis=0),
        "f1": sk.f1_score(truth, scores > 0.5, average=None, zero_division=0),
        "average_precision": sk.average_precision_score(truth, scores, average=None),
        "auroc": sk.roc_auc_score(truth, scores, average=None),
    }
    for key, values in expected.items():
        assert [float(row[key]) for row in rows] == pytest.approx(values.tolist(), abs=1e-6)


def test_an_exported_multilabel_model_says_what_it_is(multilabel_job):
    multilabel_job.run(steps=1)
    assert load_exported(multilabel_job.out.exported_best).task == multilabel_job.task


def test_multilabel_values_reach_jsonl_tensorboard_and_the_log_alike(multilabel_job):
    multilabel_job.run(logger_args=LoggerArgs(val_every_num_steps=3))
    validations = [line for line in lines_of(multilabel_job) if "val_loss" in line]
    assert [line["step"] for line in validations] == [3, 6]
    events = EventAccumulator(str(multilabel_job.out.root)).Reload()
    for name in ("val_metric/f1_macro", "val_metric/auroc_macro", "val_metric/hamming_distance"):
        logged = {scalar.step: scalar.value for scalar in events.Scalars(name)}
        assert logged == pytest.approx({line["step"]: line[name] for line in validations})
    text = multilabel_job.out.log.read_text()
    assert f"average_precision_macro {validations[-1]['val_metric/average_precision_macro']:.3g}" in text


@pytest.mark.parametrize("name", ["job", "multilabel_job"])
def test_training_metrics_are_those_of_the_batches_between_two_logs(request, name):
    job = request.getfixturevalue(name)
    job.run(steps=30, metric_args=MetricArgs(train=True), logger_args=FREQUENT, model_args=ModelArgs(lr=3e-3))
    lines = [line for line in lines_of(job) if "train_loss" in line]
    watched = "train_metric/top1_acc_micro" if name == "job" else "train_metric/accuracy"
    per_sample = 1 if name == "job" else 3
    for line in lines:
        right = line[watched] * 5 * 8 * per_sample  # five steps of eight samples
        assert right == pytest.approx(round(right))
    assert lines[-1][watched] > lines[0][watched]


def test_training_is_the_same_whether_it_is_measured_or_not(job, tmp_path):
    job.run()
    state = load_exported(job.out.exported_last).state
    measured = attrs.evolve(job, out=attrs.evolve(job.out, root=tmp_path / "measured"))
    measured.run(metric_args=MetricArgs(train=True))
    again = load_exported(measured.out.exported_last).state
    assert all(torch.equal(state[key], again[key]) for key in state)


@pytest.mark.parametrize(("name", "target"), [("job", [0.4, 0.3, 0.3]), ("multilabel_job", [0.55, 0.45])])
def test_label_smoothing_keeps_the_training_loss_above_the_entropy_of_its_targets(request, name, target):
    job = request.getfixturevalue(name)
    entropy = -sum(share * math.log(share) for share in target)
    smoothed = ModelArgs(lr=3e-3, label_smoothing=0.9)
    job.run(steps=20, model_args=smoothed, logger_args=FREQUENT)
    lines = lines_of(job)
    assert all(line["train_loss"] >= entropy - 1e-6 for line in lines if "train_loss" in line)


def test_class_wise_values_are_logged_but_do_not_fill_the_screen(job):
    job.run(metric_args=MetricArgs(classwise=True), steps=2)
    line = next(line for line in lines_of(job) if "val_loss" in line)
    assert {"val_metric/f1/red", "val_metric/recall/green", "val_metric/precision/blue"} <= set(line)
    assert "red 0" not in job.out.log.read_text()


def without_class(samples: SampleIndex, label: int) -> SampleIndex:
    return samples.take(np.array([i for i in range(len(samples)) if label not in samples.labels_of(i)]))


@pytest.mark.parametrize("name", ["job", "multilabel_job"])
def test_a_class_without_a_sample_is_named_once_and_left_out(request, name):
    job = request.getfixturevalue(name)
    job = attrs.evolve(job, data=attrs.evolve(job.data, val=without_class(job.data.val, 1)))
    job.run(metric_args=MetricArgs(classwise=True), logger_args=LoggerArgs(val_every_num_steps=2))
    named = [line for line in job.out.log.read_text().splitlines() if "left out of averages" in line]
    assert len(named) == 1
    assert "no sample of green" in named[0]
    last = lines_of(job)[-1]
    assert last["val_metric/recall/green"] is None
    others = [last["val_metric/recall/red"], last["val_metric/recall/blue"]]
    assert last["val_metric/recall_macro"] == pytest.approx(np.mean(others))
    drawn = EventAccumulator(str(job.out.root)).Reload().Tags()["scalars"]
    assert "val_metric/recall/red" in drawn
    assert "val_metric/recall/green" not in drawn
    row = rows_of(job)[1]
    assert (row["support"], row["recall"]) == ("0", "")


def test_a_metric_that_is_not_defined_is_never_best(multilabel_job):
    only = multilabel_job.data.val
    for label in (0, 1, 2):
        only = without_class(only, label)
    assert len(only)
    job = attrs.evolve(multilabel_job, data=attrs.evolve(multilabel_job.data, val=only))
    result = job.run(steps=2, metric_args=MetricArgs(watch_metric="val_metric/auroc_macro"))
    assert math.isnan(result.best_metrics["val_metric/auroc_macro"])
    assert result.exported_best is None
    assert not job.out.exported_best.exists()
    assert json.loads(job.out.report.read_text())["best"]["metrics"]["val_metric/auroc_macro"] is None


def test_a_distance_is_watched_downwards(multilabel_job):
    result = multilabel_job.run(
        steps=10,
        metric_args=MetricArgs(watch_metric="val_metric/hamming_distance"),
        model_args=ModelArgs(lr=3e-3),
        logger_args=LoggerArgs(val_every_num_steps=1),
    )
    distances = [line["val_metric/hamming_distance"] for line in lines_of(multilabel_job) if "val_loss" in line]
    assert max(distances) > min(distances) == result.best_metrics["val_metric/hamming_distance"]


def test_metrics_of_another_task_are_refused_before_anything_is_written(multilabel_job):
    with pytest.raises(TrainConfigError, match="top1_acc_micro.*there are val_loss, val_metric/f1_macro"):
        multilabel_job.run(metric_args=MetricArgs(watch_metric="val_metric/top1_acc_micro"))
    assert not multilabel_job.out.root.exists()


def test_confusions_of_very_many_classes_are_listed_by_class_id():
    ids = tuple(range(10, 1011))
    task = TaskSpec(
        task="multiclass",
        classes=Classes(ids, tuple(map(str, ids))),
        preprocessing=Preprocessing(image_size=(32, 32)),
    )
    table = ClassTable(np.zeros(1001, np.int64), {}, np.array([[0, 0, 5], [3, 1000, 2]]))
    assert confusion_counts(table, task) == {"pairs": [[10, 10, 5], [13, 1010, 2]]}
