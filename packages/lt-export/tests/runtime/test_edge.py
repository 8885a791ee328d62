from __future__ import annotations

import importlib.util
import inspect
import io
import subprocess
import sys

import numpy as np
import pytest
from mean_colour import with_thresholds
from PIL import Image

import lt_export
from lt_data import ImageDecodeError, PredictionArgumentError
from lt_export import EdgeModelError, MissingPackageError
from lt_export.metadata import to_metadata

NAMES = [
    "Agreement",
    "Benchmark",
    "Description",
    "EdgeClassifier",
    "EdgeModelError",
    "EngineBuild",
    "EngineError",
    "ExportError",
    "LtExportError",
    "MissingPackageError",
    "OnnxExport",
    "SelfTest",
    "SelfTestError",
    "TensorRTExport",
    "VerificationError",
    "WebSite",
    "build_engine",
    "describe_engine",
    "export_onnx",
    "export_tensorrt",
    "load",
    "one_line",
    "shown_steps",
    "write_site",
]


def flat(*color: int) -> np.ndarray:
    return np.full((30, 40, 3), color, np.uint8)


def test_the_public_names_are_exactly_these():
    assert sorted(lt_export.__all__) == NAMES


def test_this_environment_has_no_pytorch_as_on_an_edge_device():
    assert importlib.util.find_spec("torch") is None


@pytest.mark.parametrize(
    "name",
    ["EdgeClassifier", "EdgeModelError", "EngineBuild", "LtExportError", "build_engine", "describe_engine", "load"],
)
def test_every_name_of_the_runtime_has_a_docstring_of_its_own(name):
    assert (inspect.getdoc(getattr(lt_export, name)) or "").strip()


def test_importing_lt_export_imports_nothing_heavy():
    code = "import sys, lt_export; print(*{'numpy', 'PIL', 'onnxruntime', 'onnx', 'torch'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == ""


def test_exporting_without_pytorch_says_which_extra_is_missing():
    with pytest.raises(MissingPackageError, match=r"lt-export\[onnx\]"):
        lt_export.export_onnx  # noqa: B018  # the name is resolved when it is used


def test_classes_and_preprocessing_come_from_the_file_alone(make_onnx, tmp_path):
    classifier = lt_export.load(make_onnx())
    Image.fromarray(flat(20, 200, 20)).save(tmp_path / "green.png")
    result = classifier.predict(tmp_path / "green.png", topk=1)
    assert classifier.classes == {10: "red", 20: "green", 30: "blue"}
    assert result["labels"].tolist() == [20]
    assert result["labels"].dtype == np.int64
    assert result["scores"].dtype == np.float32
    logits = 3 * np.array([20, 200, 20]) / 255
    np.testing.assert_allclose(result["scores"], (np.exp(logits) / np.exp(logits).sum())[1:2], atol=1e-6)


def test_topk_orders_the_classes_by_score(make_onnx):
    result = lt_export.load(make_onnx()).predict(flat(100, 0, 255), topk=3)
    assert result["labels"].tolist() == [30, 10, 20]
    assert result["scores"].sum() == pytest.approx(1.0)


def test_multilabel_models_return_every_class_above_the_threshold(make_onnx):
    classifier = lt_export.load(make_onnx(task="multilabel"))
    assert classifier.predict(flat(255, 255, 0), threshold=0.6)["labels"].tolist() == [10, 20]
    assert classifier.predict(flat(0, 0, 0), threshold=0.6)["labels"].shape == (0,)


def test_auto_takes_the_threshold_that_the_file_has_for_each_class(make_onnx, tmp_path):
    classifier = lt_export.load(make_onnx(task="multilabel", metadata=to_metadata(with_thresholds(0.96, 0.6, 0.4))))
    image = flat(255, 255, 0)  # scores 0.953, 0.953, 0.5
    assert classifier.predict(image, threshold="auto")["labels"].tolist() == [20, 30]
    assert classifier.predict(image)["labels"].tolist() == [10, 20]
    assert classifier.predict_batch([image], threshold="auto")[0]["labels"].tolist() == [20, 30]
    Image.fromarray(image).save(tmp_path / "a.png")
    assert classifier.predict_folder(tmp_path, threshold="auto").predictions[0].labels == (20, 30)


def test_auto_without_thresholds_in_the_file_is_refused(make_onnx):
    with pytest.raises(PredictionArgumentError, match="this model has no thresholds"):
        lt_export.load(make_onnx(task="multilabel")).predict(flat(0, 0, 0), threshold="auto")


@pytest.mark.parametrize("batch", ["N", 1, 2, 4])
def test_a_batch_of_any_length_gives_what_single_images_give(make_onnx, batch):
    classifier = lt_export.load(make_onnx(batch=batch))
    images = [flat(250, 0, 0), flat(0, 250, 0), flat(0, 0, 250)]
    single = [classifier.predict(image) for image in images]
    together = classifier.predict_batch(images)
    assert [one["labels"].tolist() for one in together] == [[10], [20], [30]]
    np.testing.assert_allclose([o["scores"] for o in together], [s["scores"] for s in single], atol=1e-6)
    assert classifier.predict_batch([]) == []


def test_wrong_arguments_and_images_are_refused(make_onnx, tmp_path):
    classifier = lt_export.load(make_onnx())
    with pytest.raises(PredictionArgumentError, match="1 to 3"):
        classifier.predict(flat(0, 0, 0), topk=4)
    with pytest.raises(ImageDecodeError, match=r"nothing\.png"):
        classifier.predict(tmp_path / "nothing.png")
    with pytest.raises(PredictionArgumentError, match="list of images"):
        classifier.predict_batch(str(tmp_path / "nothing.png"))
    for single in (bytearray(b"an image"), memoryview(b"an image"), io.BytesIO(b"an image")):
        with pytest.raises(PredictionArgumentError, match=r"of a single image, \[image\] is one"):
            classifier.predict_batch(single)
    assert repr(classifier) == "EdgeClassifier(16 x 24, multiclass: red, green, blue)"


@pytest.mark.parametrize("num_threads", [0, -1, "2"])
def test_impossible_numbers_of_threads_are_refused(make_onnx, num_threads):
    with pytest.raises(EdgeModelError, match="num_threads"):
        lt_export.load(make_onnx(), num_threads=num_threads)


@pytest.mark.parametrize("content", [b"", b"hello", bytes(1000)])
def test_a_file_that_is_no_onnx_model_is_named(tmp_path, content):
    (tmp_path / "x.onnx").write_bytes(content)
    with pytest.raises(EdgeModelError, match=r"x\.onnx"):
        lt_export.load(tmp_path / "x.onnx")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(EdgeModelError, match=r"x\.onnx"):
        lt_export.load(tmp_path / "x.onnx")
    with pytest.raises(EdgeModelError, match="path must be a path, got None"):
        lt_export.load(None)


@pytest.mark.parametrize("metadata", [{}, {"names": "a, b"}])
def test_a_model_without_a_task_spec_is_refused_with_the_way_out(make_onnx, metadata):
    with pytest.raises(EdgeModelError, match="has no TaskSpec.*export_onnx"):
        lt_export.load(make_onnx(metadata=metadata))


def test_a_damaged_task_spec_is_refused(make_onnx):
    with pytest.raises(EdgeModelError, match=r"model\.onnx"):
        lt_export.load(make_onnx(metadata={"lt_task_spec": "{}"}))


@pytest.mark.parametrize("wrong", [{"size": (16, 16)}, {"outputs": 2}, {"input_name": "x"}])
def test_a_graph_that_does_not_fit_its_task_spec_is_refused(make_onnx, wrong):
    with pytest.raises(EdgeModelError, match="expected one"):
        lt_export.load(make_onnx(**wrong))


def test_a_folder_is_classified_as_its_images_are(make_onnx, tmp_path):
    classifier = lt_export.load(make_onnx(batch=2))
    colors = {"red.png": (250, 0, 0), "below/green.png": (0, 250, 0), "blue.png": (0, 0, 250)}
    for name, color in colors.items():
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(flat(*color)).save(tmp_path / "images" / name)
    result = classifier.predict_folder(tmp_path / "images", topk=2)
    for one in result.predictions:
        alone = classifier.predict(tmp_path / "images" / one.path, topk=2)
        assert one.labels == tuple(alone["labels"].tolist())
        np.testing.assert_allclose(one.scores, alone["scores"], atol=1e-6)
    assert len(result.predictions) == 3


def test_a_file_of_pytorch_is_told_apart_from_damage(tmp_path):
    (tmp_path / "exported_best.pt").write_bytes(b"PK\x03\x04 and so on")
    with pytest.raises(EdgeModelError, match="file of PyTorch.*export-onnx"):
        lt_export.load(tmp_path / "exported_best.pt")
