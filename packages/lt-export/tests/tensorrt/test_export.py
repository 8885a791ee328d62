"""From PyTorch to an engine; the other tests of this folder run where PyTorch is not."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import lt_export
from lt_data import Classes, Preprocessing, TaskSpec
from lt_export import EngineError, export_tensorrt

torch = pytest.importorskip("torch", reason="exporting needs PyTorch, which an edge device has not")

TASK = TaskSpec(
    task="multilabel",
    classes=Classes((1, 2, 3), ("a", "b", "c")),
    preprocessing=Preprocessing(image_size=(16, 24)),
)


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, stride=2),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(8, 3),
    )


def test_onnx_file_and_engine_give_the_same_scores(gpu, tmp_path):
    report = export_tensorrt(network(), TASK, tmp_path / "m.trt", opt_batchsize=2, max_batchsize=4)
    assert (report.onnx.path, report.engine.path) == (tmp_path / "m.onnx", tmp_path / "m.trt")
    images = list(np.random.default_rng(0).integers(0, 256, (5, 20, 30, 3), dtype=np.uint8))
    expected = lt_export.load(tmp_path / "m.onnx").scores(images)
    np.testing.assert_allclose(lt_export.load(tmp_path / "m.trt").scores(images), expected, atol=1e-6)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.onnx", "m.trt", "m.trt.json"]


@pytest.mark.parametrize(("sizes", "fixed"), [((1, 1, 1), 1), ((3, 3, 3), 3), ((1, 2, 3), 0)])
def test_the_batch_is_fixed_where_there_is_only_one_size(gpu, tmp_path, sizes, fixed):
    least, best, most = sizes
    out = tmp_path / "m.plan"
    export_tensorrt(network(), TASK, out, min_batchsize=least, opt_batchsize=best, max_batchsize=most)
    shape = onnx.load(tmp_path / "m.onnx").graph.input[0].type.tensor_type.shape
    assert shape.dim[0].dim_value == fixed


def test_the_onnx_file_stays_when_no_engine_can_be_built(without_tensorrt, tmp_path):
    with pytest.raises(EngineError) as caught:
        export_tensorrt(network(), TASK, tmp_path / "m.trt", max_batchsize=2, onnx_args={"opset_version": 18})
    assert "m.onnx" in caught.value.command
    assert lt_export.load(tmp_path / "m.onnx").classes == {1: "a", 2: "b", 3: "c"}
    assert [entry.version for entry in onnx.load(tmp_path / "m.onnx").opset_import if not entry.domain] == [18]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"onnx_args": {"batch_size": 2}}, "batch_size is not free"),
        ({"onnx_args": {"opset": 18}}, "takes no opset; valid are .*opset_version"),
        ({"precision": "int4"}, "precision must be"),
        ({"max_batchsize": 0}, "max_batchsize"),
        ({"onnx_args": ["verify"]}, "onnx_args must map"),
        ({"timing_cache": "nowhere/cache"}, "timing_cache: nowhere: there is no such folder"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_written(gpu, tmp_path, arguments, message):
    with pytest.raises(EngineError, match=message):
        export_tensorrt(network(), TASK, tmp_path / "m.trt", **arguments)
    assert not list(tmp_path.iterdir())


def test_an_engine_under_the_name_of_an_onnx_file_is_refused_before_that_is_written(gpu, tmp_path):
    with pytest.raises(EngineError, match="ends in"):
        export_tensorrt(network(), TASK, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())
