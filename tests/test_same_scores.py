"""The score that training reports is the score that the user gets, everywhere."""

from __future__ import annotations

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
