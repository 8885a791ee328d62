from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
import torch

import lightly_train
import lt_export
from lightly_train.errors import (
    ConfigError,
    DatasetError,
    ImageDecodeError,
    ModelFileError,
    PredictionArgumentError,
    RunFolderError,
    TrainConfigError,
)
from lightly_train.scoring import score_samples
from lt_data import index_for_model

RUN_BATCH = 6
"""Of the shared run: in batches of another size the model may round otherwise."""


@pytest.fixture(scope="module")
def weak(train_on, data, tmp_path_factory):
    """A model that errs, so that no metric is simply 1."""
    return train_on(tmp_path_factory.mktemp("weak") / "run", data, steps=4, metric_args={"classwise": True})


@pytest.fixture(scope="module")
def model(weak):
    return lightly_train.load_model(weak.exported_best, device="cpu")


@pytest.fixture(scope="module")
def onnx(model, tmp_path_factory):
    out = tmp_path_factory.mktemp("onnx") / "model.onnx"
    model.export_onnx(out)
    return out


@pytest.fixture
def many(tmp_path, data):
    """Class folders of 101 images, so that one bad image is less than 1 %."""
    for name in data["classes"].values():
        (tmp_path / "many" / name).mkdir(parents=True)
        images = sorted((data["val"] / name).iterdir())
        for i in range(34 if name != "blue" else 33):
            shutil.copy(images[i % len(images)], tmp_path / "many" / name / f"{i:02d}.png")
    return tmp_path / "many"


def named(metrics: dict[str, float]) -> dict[str, float]:
    return {f"val_metric/{name}": value for name, value in metrics.items()}


def test_what_is_no_model_is_told_so(data):
    with pytest.raises(PredictionArgumentError, match=r"expected a model, or the path of one, got \[\]"):
        lightly_train.evaluate([], data)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_validation_split_gives_exactly_what_training_reported(weak, model, data, num_workers):
    result = model.evaluate(
        data, metric_args={"classwise": True}, batch_size=RUN_BATCH, num_workers=num_workers, progress=False
    )
    assert named(result.metrics) == {name: value for name, value in weak.best_metrics.items() if name != "val_loss"}
    assert result.num_images == 12
    assert 0 < result.metrics["top1_acc_micro"] < 1
    report = json.loads((weak.out / "metrics.json").read_text())
    assert result.confusion.tolist() == report["confusion"]["counts"]
    with open(weak.out / "per_class.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row, figures in zip(rows, result.per_class, strict=True):
        assert {key: str(value) for key, value in figures.items() if value == value} == {
            k: v for k, v in row.items() if v
        }


def test_a_multilabel_split_gives_exactly_what_training_reported(train_on, multilabel_data, tmp_path):
    trained = train_on(tmp_path / "run", multilabel_data, classification_task="multilabel", steps=8)
    result = lightly_train.evaluate(trained.exported_best, multilabel_data, batch_size=RUN_BATCH, num_workers=0)
    assert named(result.metrics) == {name: value for name, value in trained.best_metrics.items() if name != "val_loss"}
    assert result.confusion is None
    assert "average_precision" in result.per_class[0]
    stricter = lightly_train.evaluate(
        trained.exported_best, multilabel_data["val_csv"], metric_args={"threshold": 0.9}, num_workers=0
    )
    assert stricter.metrics["recall_micro"] < result.metrics["recall_micro"]


def test_the_scores_are_those_of_predict_for_every_kind_of_model(model, onnx, data):
    samples = index_for_model(data, model.task).samples
    paths = [samples.path(i) for i in range(len(samples))]
    edge = lt_export.load(onnx)
    for scored, expected in (
        (score_samples(model, samples, batch_size=12, num_workers=0), model.scores(paths)),
        (score_samples(model, samples, batch_size=5, num_workers=2), model.scores(paths)),
        (score_samples(edge, samples, batch_size=5, num_workers=3), edge.scores(paths)),
    ):
        np.testing.assert_allclose(scored.scores, expected, atol=1e-6, rtol=0)
        assert scored.truth.tolist() == [0] * 4 + [1] * 4 + [2] * 4
        assert scored.unreadable == ()
    assert np.array_equal(score_samples(model, samples, batch_size=12, num_workers=0).scores, model.scores(paths))


def test_an_onnx_file_has_the_metrics_of_the_model_it_was_made_from(model, onnx, data):
    for given in (onnx, str(onnx), lt_export.load(onnx)):
        assert lightly_train.evaluate(given, data, num_workers=2).metrics == model.evaluate(data).metrics


def test_a_checkpoint_and_every_split_can_be_evaluated(weak, data):
    checkpoint = weak.out / "checkpoints" / "last.ckpt"
    assert lightly_train.evaluate(checkpoint, data, split="train", num_workers=0).num_images == 24
    with pytest.raises(ConfigError, match=r"data\.test.*train, val"):
        lightly_train.evaluate(checkpoint, data, split="test")


def test_an_image_that_cannot_be_read_is_named_and_in_no_figure(model, onnx, many, caplog):
    whole = {kind: lightly_train.evaluate(kind, many, num_workers=0) for kind in (model, onnx)}
    broken = many / "green" / "07.png"
    broken.write_bytes(b"no image")
    for kind, workers in ((model, 0), (model, 2), (onnx, 2)):
        result = lightly_train.evaluate(kind, many, num_workers=workers)
        assert [problem.where for problem in result.unreadable] == [str(broken)]
        assert result.num_images == len(result.scored.scores) == 100
        assert str(broken) in caplog.text
        caplog.clear()
        kept = np.delete(whole[kind].scored.scores, 34 + 7, axis=0)
        np.testing.assert_allclose(result.scored.scores, kept, atol=1e-6, rtol=0)
        left = [result.scored.samples.path(i) for i in range(100)]
        assert left == sorted(
            {*many.rglob("*.png")} - {broken}, key=lambda path: (model.names.index(path.parent.name), path)
        )
        assert "1 more could not be read" in str(result)
        assert sum(row["support"] for row in result.per_class) == 100
        with pytest.raises(ImageDecodeError, match=r"07\.png"):
            lightly_train.evaluate(kind, {"val": many, "on_bad_image": "error"}, num_workers=workers)
    for name in ("00", "01", "02"):
        (many / "red" / f"{name}.png").write_bytes(b"")
    for kind in (model, onnx):
        with pytest.raises(DatasetError, match="4 of 101 images cannot be read"):
            lightly_train.evaluate(kind, many, num_workers=0)


def test_a_class_without_an_image_is_allowed_and_one_that_the_model_does_not_know_is_not(model, many):
    shutil.rmtree(many / "blue")
    result = model.evaluate(many, num_workers=0)
    assert result.per_class[2]["support"] == 0
    assert np.isnan(result.per_class[2]["recall"])
    *_, header, red, _, blue = str(result).splitlines()
    assert header.split() == [*result.per_class[0]]
    assert red.split()[1:4] == ["red", str(result.per_class[0]["support"]), f"{result.per_class[0]['precision']:.4f}"]
    assert blue.split()[1:3] == ["blue", "0"]
    assert len(header) == len(red) == len(blue)
    (many / "blau").mkdir()
    with pytest.raises(DatasetError, match="blau"):
        model.evaluate(many)


def test_the_files_of_an_evaluation_hold_what_it_found(model, data, weak, tmp_path):
    result = model.evaluate(data, batch_size=RUN_BATCH, metric_args={"classwise": True}, num_workers=0)
    result.write(tmp_path / "new" / "folder")
    document = json.loads((tmp_path / "new/folder/metrics.json").read_text())
    assert document["metrics"] == result.metrics
    assert (document["images"], document["unreadable"]) == (12, [])
    assert document["confusion"]["counts"] == result.confusion.tolist()
    assert (tmp_path / "new/folder/per_class.csv").read_text() == (weak.out / "per_class.csv").read_text()
    before = (weak.out / "metrics.json").read_text()
    with pytest.raises(RunFolderError, match="a run lies there"):
        result.write(weak.out)
    assert (weak.out / "metrics.json").read_text() == before


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"metric_args": {"f1_makro": {}}}, ConfigError, r"metric_args\.f1_makro"),
        ({"metric_args": {"auroc": {}}}, TrainConfigError, "auroc"),
        ({"batch_size": 0}, PredictionArgumentError, "batch_size"),
        ({"num_workers": -1}, PredictionArgumentError, "num_workers"),
        ({"num_workers": "many"}, PredictionArgumentError, "num_workers"),
        ({"split": "validation"}, ConfigError, "split"),
    ],
)
def test_wrong_arguments_are_refused_before_an_image_is_read(model, data, monkeypatch, changes, error, message):
    monkeypatch.setattr("lightly_train.scoring.score_samples", lambda *_, **__: pytest.fail("images were read"))
    with pytest.raises(error, match=message):
        model.evaluate(data, **changes)


def test_progress_is_told_to_a_function_and_ends_with_all_images(model, onnx, data):
    for kind in (model, lt_export.load(onnx)):
        told = list[tuple[int, int]]()
        lightly_train.evaluate(kind, data, batch_size=5, progress=lambda *counts, told=told: told.append(counts))
        assert told[-1] == (12, 12)
        assert told == sorted(told)
        assert len(told) >= 3


def test_evaluating_leaves_a_model_in_training_mode_as_it_was(model, data):
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.evaluate(data, num_workers=0)
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    model.eval()


def test_a_test_split_is_evaluated_at_the_end_of_training(run, data, tmp_path, many):
    result = run(tmp_path / "run", data={**data, "test": many}, steps=4)
    tested = lightly_train.evaluate(
        result.exported_best, {**data, "test": many}, split="test", batch_size=RUN_BATCH, num_workers=0
    )
    assert {f"test_metric/{name}": value for name, value in tested.metrics.items()} == {
        name: value for name, value in result.test_metrics.items() if name != "test_loss"
    }
    assert "test: 101 images" in (result.out / "train.log").read_text()
    page = result.report.read_text(encoding="utf-8")
    assert "Test images" in page
    assert "Test: Top-1 accuracy" in page


def test_a_test_split_with_an_unknown_class_is_refused_before_anything_is_written(run, data, tmp_path, many):
    (many / "grey").mkdir()
    with pytest.raises(DatasetError, match="grey"):
        run(tmp_path / "run", data={**data, "test": many})
    assert not (tmp_path / "run").exists()


def test_a_model_whose_scores_are_no_numbers_is_refused_with_an_image(weak, data):
    broken = lightly_train.load_model(weak.exported_best, device="cpu")
    with torch.no_grad():
        next(broken.classifier.head.parameters())[0] = float("nan")
    with pytest.raises(
        ModelFileError, match=r"scores are not finite for (\d+) of \1 images, the first of which is .*png"
    ):
        lightly_train.evaluate(broken, data)
