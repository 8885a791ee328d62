from __future__ import annotations

import collections

import numpy as np
import onnx
import pytest
import torch
from networks import Attentive, convolutional, task_spec
from PIL import Image

import lt_export
from lt_data import Calibration, DatasetError, TaskSpec, load_inputs
from lt_export import ExportError, VerificationError, export_onnx
from lt_export.agreement import compare
from lt_export.probes import probe_images

SPEC = task_spec()


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    return probe_images(SPEC.preprocessing, 40)


def teach(network: torch.nn.Module, images: list[np.ndarray]) -> tuple[torch.nn.Module, list[int]]:
    """A network that tells apart images of three kinds of brightness, and their class IDs."""
    kinds = [
        (image // (kind + 1)).astype(np.uint8) for kind, image in zip(np.arange(len(images)) % 3, images, strict=True)
    ]
    inputs = torch.from_numpy(load_inputs(kinds, SPEC.preprocessing))
    truth = torch.arange(len(images)) % 3
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(150):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(inputs), truth).backward()
        optimizer.step()
    images[:] = kinds
    return network.eval(), [SPEC.classes.ids[label] for label in truth.tolist()]


@pytest.mark.parametrize("network", [convolutional, Attentive])
def test_products_are_quantised_and_the_measured_accuracy_is_told(tmp_path, images, network):
    shown = list(images)
    model, labels = teach(network(), shown)
    report = export_onnx(
        model, SPEC, tmp_path / "m.onnx", precision="int8", images=shown, labels=labels, max_accuracy_drop=10.0
    )
    edge = lt_export.load(tmp_path / "m.onnx")
    found = [int(one["labels"][0]) for one in edge.predict_batch(shown)]
    assert report.accuracy is not None
    assert report.accuracy.after == pytest.approx(np.mean([a == b for a, b in zip(found, labels, strict=True)]))
    assert report.accuracy.before > 0.6, "the network should have learned something"
    assert report.accuracy.images == 40
    assert edge.description.precision == "int8"
    edge.selftest()
    graph = onnx.load(tmp_path / "m.onnx").graph
    counts = collections.Counter(node.op_type for node in graph.node)
    assert counts["QuantizeLinear"] >= 1
    makers = {name: node.op_type for node in graph.node for name in node.output}
    *inner, head = [node for node in graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    assert "DequantizeLinear" in {makers.get(name) for node in inner for name in node.input}
    assert "DequantizeLinear" not in {makers.get(name) for name in head.input}, "logits stay in fp32"
    scales = {tensor.name: tensor for tensor in graph.initializer}
    per_channel = [n for n in graph.node if n.op_type == "DequantizeLinear" and len(scales[n.input[1]].dims) == 1]
    assert any(scales[node.input[1]].dims[0] > 1 for node in per_channel)
    assert any(tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) > 1 for tensor in graph.initializer)
    zero_points = [scales[node.input[2]] for node in graph.node if node.op_type == "QuantizeLinear"]
    assert all(not onnx.numpy_helper.to_array(point).any() for point in zero_points), "TensorRT wants symmetric ranges"


def test_a_loss_above_the_limit_is_refused_and_a_good_file_stays(tmp_path, images):
    shown = list(images)
    model, labels = teach(convolutional(), shown)
    with torch.no_grad():
        # One channel of a thousand times the others' range leaves these a single step of 8 bits.
        model[1].weight[0] *= 1e5
        model[-1].weight[:, 0] = 0.0
    (tmp_path / "m.onnx").write_bytes(b"good")
    with pytest.raises(VerificationError, match=r"max_accuracy_drop = 1 points: accuracy .* % before"):
        export_onnx(model, SPEC, tmp_path / "m.onnx", precision="int8", images=shown, labels=labels, verify=False)
    assert (tmp_path / "m.onnx").read_bytes() == b"good"


def test_without_labels_the_model_itself_is_the_truth(tmp_path, images):
    report = export_onnx(
        convolutional(), SPEC, tmp_path / "m.onnx", precision="int8", images=images, max_accuracy_drop=100.0
    )
    assert report.accuracy is not None
    assert report.accuracy.before == 1.0
    assert not report.accuracy.labelled


def test_a_folder_with_class_folders_has_its_own_labels(tmp_path, images):
    for name, image in zip(["red", "grün", "blue"] * 4, images, strict=False):
        folder = tmp_path / "val" / name
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{len(list(folder.iterdir()))}.png")
    arguments = {"precision": "int8", "max_accuracy_drop": 100.0}
    report = export_onnx(convolutional(), SPEC, tmp_path / "m.onnx", images=tmp_path / "val", **arguments)
    assert report.accuracy is not None
    assert report.accuracy.labelled
    assert report.accuracy.images == 12
    report = export_onnx(convolutional(), SPEC, tmp_path / "m.onnx", images=tmp_path / "val" / "red", **arguments)
    assert report.accuracy is not None
    assert not report.accuracy.labelled
    (tmp_path / "val" / "gray").mkdir()
    Image.fromarray(images[0]).save(tmp_path / "val" / "gray" / "0.png")
    with pytest.raises(DatasetError, match="gray"):
        export_onnx(convolutional(), SPEC, tmp_path / "m.onnx", images=tmp_path / "val", **arguments)


def test_a_multilabel_model_loses_f1(tmp_path, images):
    spec = task_spec("multilabel")
    labels = [[10], [], [10, 30], [20]] * 10
    report = export_onnx(
        convolutional(),
        spec,
        tmp_path / "m.onnx",
        precision="int8",
        images=images,
        labels=labels,
        max_accuracy_drop=100.0,
    )
    edge = lt_export.load(tmp_path / "m.onnx")
    found = [set(one["labels"].tolist()) for one in edge.predict_batch(images)]
    both = sum(len(a & set(b)) for a, b in zip(found, labels, strict=True))
    either = sum(len(a) + len(b) for a, b in zip(found, labels, strict=True))
    assert report.accuracy is not None
    assert report.accuracy.after == pytest.approx(2 * both / either)


def rare_class() -> torch.nn.Module:
    """All scores are far below 0.5, and so different that the weights' largest channel hides the others in 8 bits."""
    model = convolutional().eval()
    with torch.no_grad():
        model[0].weight *= 3.0
        model[1].weight[0] *= 1e4
        model[-1].weight[:, 0] = 0.0
        model[-1].weight *= 3.0
        model[-1].bias[:] = -6.0
    return model


def calibrated(model: torch.nn.Module, images: list[np.ndarray]) -> TaskSpec:
    """A multilabel task whose thresholds part the images in halves."""
    with torch.no_grad():
        scores = torch.sigmoid(model(torch.from_numpy(load_inputs(images, SPEC.preprocessing)))).double()
    assert scores.max() < 0.4, "with 0.5 there should be no label"
    return task_spec("multilabel", calibration=Calibration(thresholds=tuple(scores.median(dim=0).values.tolist())))


def test_labels_lost_at_the_models_own_thresholds_count_though_none_is_lost_at_a_half(tmp_path, images):
    model = rare_class()
    spec = calibrated(model, images)
    with pytest.raises(VerificationError, match="a drop of .* with the model's own thresholds"):
        export_onnx(model, spec, tmp_path / "m.onnx", precision="int8", images=images)
    report = export_onnx(
        model, spec, tmp_path / "m.onnx", precision="int8", images=images, max_accuracy_drop=100.0, verify=False
    )
    edge = lt_export.load(tmp_path / "m.onnx")
    assert not any(len(one["labels"]) for one in edge.predict_batch(images))
    found = [set(one["labels"].tolist()) for one in edge.predict_batch(images, threshold="auto")]
    inputs = torch.from_numpy(load_inputs(images, SPEC.preprocessing))
    with torch.no_grad():
        above = torch.sigmoid(model(inputs)).numpy() > np.array(spec.calibration.thresholds, np.float32)
    labels = [{spec.classes.ids[i] for i in np.flatnonzero(row)} for row in above]
    both = sum(len(a & b) for a, b in zip(found, labels, strict=True))
    either = sum(len(a) + len(b) for a, b in zip(found, labels, strict=True))
    assert report.accuracy is not None
    assert report.accuracy.own_thresholds
    assert report.accuracy.after == pytest.approx(2 * both / either)


def test_images_agree_where_labels_do_at_a_half_and_at_the_models_own_thresholds():
    expected = np.array([[0.30, 0.10, 0.90], [0.30, 0.10, 0.90]], np.float32)
    found = np.array([[0.10, 0.10, 0.90], [0.29, 0.10, 0.90]], np.float32)
    own = task_spec("multilabel", calibration=Calibration(thresholds=(0.2, 0.2, 0.2)))
    assert compare(found, expected, task_spec("multilabel"), 0.05).agreement == 1.0
    assert compare(found, expected, own, 0.05).agreement == 0.5
    high = task_spec("multilabel", calibration=Calibration(thresholds=(0.95, 0.95, 0.95)))
    assert compare(found, 1 - expected, high, 0.05).agreement == 0.0, "labels at 0.5 count beside them"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "needs `images`"),
        ({"images": []}, "no image"),
        ({"images": [np.zeros((9, 9, 3), np.uint8)], "labels": [10, 20]}, "2 entries for 1 images"),
        ({"images": [np.zeros((9, 9, 3), np.uint8)], "labels": [11]}, "of 10, 20, 30, got 11"),
        ({"images": [np.zeros((9, 9, 3), np.uint8)], "max_accuracy_drop": -1.0}, "max_accuracy_drop"),
    ],
)
def test_wrong_images_and_labels_are_refused(tmp_path, arguments, message):
    with pytest.raises(ExportError, match=message):
        export_onnx(convolutional(), SPEC, tmp_path / "m.onnx", precision="int8", **arguments)
    assert list(tmp_path.iterdir()) == []
