"""The score that training reports is the score that the user gets, everywhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lightly_train
import lt_export

NAMES = ["left", "right", "none"]


@pytest.fixture(scope="module", params=[((32, 32), "crop"), ((24, 48), "crop"), ((32, 32), "letterbox")], ids=str)
def result(request, tmp_path_factory, shapes):
    return lightly_train.train_image_classification(
        out=tmp_path_factory.mktemp("run") / "run",
        model="timm/test_resnet-notpretrained",
        data={
            "train": shapes / "train",
            "val": shapes / "val",
            "classes": NAMES,
            "dicom_window": (1000.0, 4000.0),
        },
        steps=30,
        batch_size=15,
        num_workers=2,
        accelerator="cpu",
        transform_args={"image_size": request.param[0], "resize_mode": request.param[1], "random_flip": None},
        model_args={"lr": 2e-3},
    )


def test_validation_predict_and_the_edge_count_exactly_the_same_accuracy(result, shapes, tmp_path):
    model = lightly_train.load_model(result.exported_best, device="cpu")
    model.export_onnx(tmp_path / "model.onnx")
    edge = lt_export.load(tmp_path / "model.onnx")
    images = sorted((shapes / "val").glob("*/*"))
    truth = [NAMES.index(image.parent.name) for image in images]

    def accuracy(labels: list[int]) -> float:
        return sum(a == b for a, b in zip(labels, truth, strict=True)) / len(truth)

    alone = [model.predict(image, topk=3) for image in images]
    batch = model.predict_batch(images, topk=3)
    on_edge = [edge.predict(image, topk=3) for image in images]
    reported = result.best_metrics["val_metric/top1_acc_micro"]
    assert 0.35 < reported < 0.999, "the classes should be neither hopeless nor trivial"
    for predictions in (alone, batch, on_edge):
        assert accuracy([int(one["labels"][0]) for one in predictions]) == reported
    for torch_result, edge_result in zip(alone, on_edge, strict=True):
        np.testing.assert_array_equal(torch_result["labels"].numpy(), edge_result["labels"])
        np.testing.assert_allclose(torch_result["scores"].numpy(), edge_result["scores"], atol=1e-5)
        assert isinstance(edge_result["labels"], np.ndarray)


WITHOUT_TORCH = """
import json, sys
for name in ("torch", "torchvision", "timm", "onnx"):
    sys.modules[name] = None  # importing it fails, as on a device
import lt_export
classifier = lt_export.load(sys.argv[1])
found = classifier.predict_folder(sys.argv[2], topk=3)
print(json.dumps([[one.path, one.labels, one.scores] for one in found.predictions]))
"""


@pytest.mark.parametrize("include_preprocessing", [False, True])
def test_a_device_without_pytorch_gives_all_kinds_of_images_the_labels_and_scores_of_predict(
    result, shapes, tmp_path, include_preprocessing
):
    model = lightly_train.load_model(result.exported_best, device="cpu")
    model.export_onnx(tmp_path / "model.onnx", include_preprocessing=include_preprocessing)
    program = [sys.executable, "-c", WITHOUT_TORCH, str(tmp_path / "model.onnx"), str(shapes / "val")]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert {Path(path).suffix for path, _, _ in rows} >= {".png", ".jpg", ".webp", ".tiff", ".tif", ".bmp", ".dcm"}
    assert len(rows) == 120
    for path, labels, scores in rows:
        expected = model.predict(shapes / "val" / path, topk=3)
        assert expected["labels"].tolist() == labels, path
        np.testing.assert_allclose(scores, expected["scores"].numpy(), atol=1e-4)


SIDES = ["left", "right"]


@pytest.fixture(scope="module")
def multilabel_result(tmp_path_factory, shapes):
    root = tmp_path_factory.mktemp("multilabel")
    for split in ("train", "val"):
        rows = [
            f'{image},"{image.parent.name if image.parent.name in SIDES else ""}"'
            for image in sorted((shapes / split).glob("*/*"))
        ]
        (root / f"{split}.csv").write_text("\n".join(["image_path,label", *rows]))
    return lightly_train.train_image_classification(
        out=root / "run",
        model="timm/test_resnet-notpretrained",
        classification_task="multilabel",
        data={
            "train_csv": root / "train.csv",
            "val_csv": root / "val.csv",
            "classes": {3: "left", 8: "right"},
            "dicom_window": (1000.0, 4000.0),
        },
        steps=60,
        batch_size=15,
        num_workers=2,
        accelerator="cpu",
        transform_args={"image_size": (32, 32), "random_flip": None},
        model_args={"lr": 3e-3},
    )


def test_validation_predict_and_the_edge_give_exactly_the_same_labels_to_a_multilabel_model(
    multilabel_result, shapes, tmp_path
):
    model = lightly_train.load_model(multilabel_result.exported_best, device="cpu")
    model.export_onnx(tmp_path / "model.onnx")
    edge = lt_export.load(tmp_path / "model.onnx")
    assert edge.task == model.task
    assert edge.task.task == "multilabel"
    images = sorted((shapes / "val").glob("*/*"))
    truth = [{i for i, name in model.classes.items() if name == image.parent.name} for image in images]

    def f1_macro(predicted: list[set[int]]) -> float:
        of_class = []
        for i in model.classes:
            both = sum(i in a and i in b for a, b in zip(predicted, truth, strict=True))
            either = sum((i in a) + (i in b) for a, b in zip(predicted, truth, strict=True))
            of_class.append(2 * both / max(1, either))
        return sum(of_class) / len(of_class)

    alone = [model.predict(image) for image in images]
    batch = model.predict_batch(images)
    on_edge = [edge.predict(image) for image in images]
    assert len({len(one["labels"]) for one in on_edge}) > 1, "some images should have a label and some none"
    for predictions in (alone, batch, on_edge):
        labels = [set(one["labels"].tolist()) for one in predictions]
        assert f1_macro(labels) == multilabel_result.best_metrics["val_metric/f1_macro"]
    for torch_result, edge_result in zip(alone, on_edge, strict=True):
        np.testing.assert_array_equal(torch_result["labels"].numpy(), edge_result["labels"])
        np.testing.assert_allclose(torch_result["scores"].numpy(), edge_result["scores"], atol=1e-5)
    for threshold in (0.1, 0.9):
        for image in images[::20]:
            expected = model.predict(image, threshold=threshold)["labels"].tolist()
            assert edge.predict(image, threshold=threshold)["labels"].tolist() == expected
