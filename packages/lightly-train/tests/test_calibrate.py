from __future__ import annotations

import csv
import hashlib

import attrs
import numpy as np
import pytest
import torch

import lightly_train
import lt_export
from lightly_train.calibration import no_better
from lightly_train.errors import DatasetError, ModelFileError, PredictionArgumentError
from lightly_train.fitting import log_loss
from lightly_train.scoring import score_samples
from lt_data import Calibration, index_for_model


@pytest.fixture(scope="module")
def doubtful(train_on, multilabel_data, tmp_path_factory):
    """A multilabel model that errs, as a file."""
    out = tmp_path_factory.mktemp("doubtful") / "run"
    return train_on(out, multilabel_data, steps=12, classification_task="multilabel").exported_last


@pytest.fixture
def model(doubtful):
    return lightly_train.load_model(doubtful, device="cpu")


@pytest.fixture
def multiclass(trained):
    return lightly_train.load_model(trained.exported_best, device="cpu")


@pytest.fixture(scope="module")
def images(multilabel_data):
    with open(multilabel_data["val_csv"]) as stream:
        return [multilabel_data["val_csv"].parent / row["image_path"] for row in csv.DictReader(stream)]


def test_the_log_loss_falls_and_f1_rises_as_the_result_says(model, multilabel_data):
    samples = index_for_model(multilabel_data, model.task, split="val").samples
    before = score_samples(model, samples, batch_size=16, num_workers=0)
    logits = score_samples(model, samples, batch_size=16, num_workers=0, with_logits=True).logits
    found = model.calibrate(multilabel_data)
    assert found.num_images == 16
    assert found.calibration == model.task.calibration
    assert found.before["log_loss"] == pytest.approx(log_loss(logits, before.truth, 1.0))
    assert found.after["log_loss"] < found.before["log_loss"]
    assert found.after["f1_macro"] > found.before["f1_macro"]
    assert lightly_train.evaluate(model, multilabel_data).metrics["f1_macro"] == pytest.approx(found.before["f1_macro"])
    own = lightly_train.evaluate(model, multilabel_data, metric_args={"threshold": "auto"})
    assert own.metrics["f1_macro"] == pytest.approx(found.after["f1_macro"])
    assert before.logits is None
    assert f"red {found.calibration.thresholds[0]:.4f}" in str(found)
    assert f"f1_macro {found.before['f1_macro']:.4f} -> {found.after['f1_macro']:.4f}" in str(found)


def test_scores_are_logits_divided_by_the_temperature(model, multilabel_data, images):
    with torch.no_grad():
        logits = model(torch.from_numpy(np.stack([model.prepare(image) for image in images])))
    temperature = model.calibrate(multilabel_data).calibration.temperature
    assert abs(temperature - 1) > 0.05
    np.testing.assert_allclose(model.scores(images), (logits / temperature).sigmoid().numpy(), atol=1e-6)
    everything = model.predict(images[0], threshold=0.001)["scores"]
    np.testing.assert_array_equal(everything, np.sort(model.scores(images[:1])[0])[::-1])


def test_saved_and_exported_models_give_the_calibrated_scores_and_labels(model, multilabel_data, images, tmp_path):
    before = model.scores(images)
    model.calibrate(multilabel_data)
    model.save(tmp_path / "calibrated.pt")
    model.export_onnx(tmp_path / "calibrated.onnx")
    again = lightly_train.load_model(tmp_path / "calibrated.pt", device="cpu")
    edge = lt_export.load(tmp_path / "calibrated.onnx")
    np.testing.assert_array_equal(again.scores(images), model.scores(images))
    np.testing.assert_allclose(edge.scores(images), model.scores(images), atol=1e-5)
    assert np.abs(before - model.scores(images)).max() > 0.01
    labels = [model.predict(image, threshold="auto")["labels"].tolist() for image in images]
    assert labels != [model.predict(image)["labels"].tolist() for image in images]
    assert [again.predict(image, threshold="auto")["labels"].tolist() for image in images] == labels
    assert [edge.predict(image, threshold="auto")["labels"].tolist() for image in images] == labels
    assert again.metrics == model.metrics
    assert again.step == model.step


def test_a_second_calibration_replaces_the_first(model, multilabel_data):
    first = model.calibrate(multilabel_data)
    second = model.calibrate(multilabel_data)
    assert second.calibration == first.calibration
    assert second.before["log_loss"] == pytest.approx(first.after["log_loss"])
    assert second.before["f1_macro"] == first.before["f1_macro"], "before: with thresholds of 0.5"


def test_without_temperature_scores_stay_and_thresholds_are_fitted(model, multilabel_data, images):
    before = model.scores(images)
    found = model.calibrate(multilabel_data, temperature=False)
    assert found.calibration.temperature == 1.0
    assert found.calibration.thresholds is not None
    np.testing.assert_array_equal(model.scores(images), before)


def test_multiclass_models_keep_their_labels_and_have_no_thresholds(multiclass, data, tmp_path):
    paths = sorted(data["val"].rglob("*.png"))
    labels = multiclass.scores(paths).argmax(axis=1)
    found = multiclass.calibrate(data)
    assert found.calibration.thresholds is None
    assert set(found.before) == set(found.after) == {"log_loss", "expected_calibration_error"}
    assert found.after["log_loss"] < found.before["log_loss"]
    np.testing.assert_array_equal(multiclass.scores(paths).argmax(axis=1), labels)
    assert found.without_images == ()


def test_a_class_without_images_is_named(multiclass, data, tmp_path):
    (tmp_path / "two").mkdir()
    for name in ("red", "blue"):
        (tmp_path / "two" / name).symlink_to(data["val"] / name)
    found = multiclass.calibrate(tmp_path / "two")
    assert found.without_images == ("green",)
    assert "no image of green" in str(found)


def test_a_calibration_that_fails_leaves_the_model_as_it_was(model, tmp_path):
    (tmp_path / "missing.csv").write_text("image_path,label\nnothing.png,red\n")
    with pytest.raises(DatasetError, match=r"nothing\.png"):
        model.calibrate(tmp_path / "missing.csv")
    assert model.task.calibration == Calibration()
    with pytest.raises(PredictionArgumentError, match="calibrate"):
        model.predict(np.zeros((4, 4, 3), np.uint8), threshold="auto")


def test_a_calibrated_model_says_so(model, multilabel_data):
    assert "calibration" not in model.summary()
    found = model.calibrate(multilabel_data)
    assert f"temperature {found.calibration.temperature:.4g}" in model.summary()


@pytest.mark.parametrize(
    ("name", "message"),
    [("m.onnx", "ends in .pt"), ("nowhere/m.pt", "no such folder"), ("folder.pt", "name a file that ends in .pt")],
)
def test_a_model_is_saved_only_where_it_can_be(model, tmp_path, name, message):
    (tmp_path / "folder.pt").mkdir()
    with pytest.raises(ModelFileError, match=message):
        model.save(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.pt"]


def test_a_model_whose_scores_are_no_numbers_is_refused_with_an_image(model, multilabel_data):
    with torch.no_grad():
        next(model.classifier.head.parameters())[0] = float("nan")
    with pytest.raises(ModelFileError, match=r"not finite for 16 of 16 images.*val0\.png"):
        model.calibrate(multilabel_data)
    assert model.task.calibration == Calibration()


def test_a_temperature_at_the_end_of_its_range_is_warned_of(model, multilabel_data, caplog):
    with torch.no_grad():
        for parameter in model.classifier.head.parameters():
            parameter.mul_(1e-6)
    model.calibrate(multilabel_data)
    assert "the end of the range" in caplog.text


def test_a_temperature_that_makes_its_own_images_no_better_is_not_kept_and_said(multiclass, data, caplog):
    with torch.no_grad():
        for parameter in multiclass.classifier.head.parameters():
            parameter.mul_(8)  # surer than twelve images without an error bear out
    found = multiclass.calibrate(data)
    assert found.calibration.temperature == multiclass.task.calibration.temperature == 1.0
    assert found.after == found.before
    (note,) = found.notes
    assert "the temperature is 1, not the fitted" in note
    assert f"log loss on these images is {found.before['log_loss']:.4g} with 1" in note
    assert "calibrate with more images" in note
    assert note in caplog.text
    assert note in str(found)


def test_an_earlier_temperature_that_was_better_for_the_images_is_said(model, multilabel_data):
    samples = index_for_model(multilabel_data, model.task, split="val").samples
    scored = score_samples(model, samples, batch_size=16, num_workers=0, with_logits=True)
    best = min(np.geomspace(1 / 1024, 1024, 2001), key=lambda t: log_loss(scored.logits, scored.truth, t))
    model.task = attrs.evolve(model.task, calibration=Calibration(temperature=float(best)))
    found = model.calibrate(multilabel_data)
    assert found.after["log_loss"] > found.before["log_loss"]
    change = f"from {found.before['log_loss']:.4f} to {found.after['log_loss']:.4f}"
    assert f"log loss rose {change}: the model's earlier temperature of {best:.4g}" in found.notes[0]


def test_thresholds_that_do_not_raise_f1_are_said(model, images, tmp_path, caplog):
    rows = ["image_path,label"]
    for image in images:
        names = [model.classes[label] for label in model.predict(image)["labels"].tolist()]
        rows.append(f'{image},"{",".join(names)}"')
    (tmp_path / "as_predicted.csv").write_text("\n".join(rows))
    found = model.calibrate(tmp_path / "as_predicted.csv")
    assert found.before["f1_macro"] == found.after["f1_macro"] == 1.0
    (note,) = [note for note in found.notes if "f1_macro is no better with a threshold for each class" in note]
    assert note in caplog.text


def test_a_calibration_error_that_rises_though_log_loss_falls_is_said():
    before = {"log_loss": 0.5, "expected_calibration_error": 0.1}
    after = {"log_loss": 0.4, "expected_calibration_error": 0.125}
    (note,) = no_better(before, after, num_images=16, earlier=1.0)
    assert "expected_calibration_error rose from 0.1000 to 0.1250" in note
    assert "16 images may be too few for its bins" in note


def test_a_calibration_that_makes_all_better_has_no_notes(model, multilabel_data, caplog):
    assert model.calibrate(multilabel_data).notes == ()
    assert "note:" not in str(model.calibrate(multilabel_data))
    assert not [record for record in caplog.records if record.name == "lightly_train.calibration"]


def test_for_multiclass_without_temperature_there_is_nothing_to_fit(multiclass, data):
    with pytest.raises(PredictionArgumentError, match="nothing to fit for multiclass"):
        multiclass.calibrate(data, temperature=False)


def test_what_is_no_longer_true_of_a_calibrated_model_is_not_said(multiclass, data, tmp_path):
    multiclass.export_onnx(tmp_path / "before.onnx", verify=False)
    assert "val_loss" in multiclass.metrics
    kept = {name: value for name, value in multiclass.metrics.items() if name != "val_loss"}
    multiclass.calibrate(data)
    assert multiclass.metrics == kept
    multiclass.export_onnx(tmp_path / "after.onnx", verify=False)
    multiclass.save(tmp_path / "saved.pt")
    multiclass.export_onnx(tmp_path / "saved.onnx", verify=False)
    said = [
        lt_export.load(tmp_path / f"{name}.onnx").description.checkpoint_sha256 for name in ("before", "after", "saved")
    ]
    assert said[0]
    assert said[1] == ""
    assert said[2] == hashlib.sha256((tmp_path / "saved.pt").read_bytes()).hexdigest()


def test_what_a_calibrated_model_says_of_a_class_stays_whatever_its_name_is(multiclass, data):
    of_classes = {"val_metric/f1/gloss": 0.5, "val_metric/recall/expected_calibration_error": 0.5}
    multiclass.metrics.update({**of_classes, "val_metric/expected_calibration_error": 0.5})
    multiclass.calibrate(data)
    assert {**multiclass.metrics, **of_classes} == multiclass.metrics
    assert not {"val_loss", "val_metric/expected_calibration_error"} & set(multiclass.metrics)


def test_a_new_run_from_a_calibrated_model_starts_uncalibrated(model, multilabel_data, train_on, tmp_path):
    model.calibrate(multilabel_data)
    model.save(tmp_path / "calibrated.pt")
    new = train_on(
        tmp_path / "run",
        multilabel_data,
        steps=1,
        classification_task="multilabel",
        model=str(tmp_path / "calibrated.pt"),
    )
    assert lightly_train.load_model(new.exported_last).task.calibration == Calibration()
