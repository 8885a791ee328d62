from __future__ import annotations

import inspect
import logging

import numpy as np
import onnx
import pytest
import torch
from networks import convolutional, task_spec
from torch import nn

import lt_export
from lt_data import Calibration, TaskSpec, load_inputs
from lt_export import ExportError, VerificationError, export_onnx
from lt_export.verify import DYNAMIC_SIZES, in_batches

PIXELS = np.full((9, 9, 3), 120, np.uint8)


@pytest.mark.parametrize("name", ["OnnxExport", "Agreement", "VerificationError", "export_onnx"])
def test_every_name_of_the_export_has_a_docstring_of_its_own(name):
    assert (inspect.getdoc(getattr(lt_export, name)) or "").strip()


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
@pytest.mark.parametrize("simplify", [True, False])
def test_the_file_answers_as_pytorch_does_for_any_batch(tmp_path, task, simplify):
    model = convolutional()
    report = export_onnx(model, task_spec(task), tmp_path / "m.onnx", simplify=simplify)
    assert report.verification is not None
    assert report.verification.agreement == 1.0
    assert report.verification.largest_difference < 1e-5
    assert report.size == (tmp_path / "m.onnx").stat().st_size
    edge = lt_export.load(tmp_path / "m.onnx")
    images = np.random.default_rng(0).integers(0, 256, (7, 20, 30, 3), dtype=np.uint8)
    scores = edge.scores(list(images))
    assert scores.shape == (7, 3)
    if task == "multiclass":
        np.testing.assert_allclose(scores.sum(axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(scores[3:4], edge.scores([images[3]]), atol=1e-6)


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_temperature_is_in_the_graph_and_the_thresholds_in_the_file(tmp_path, task, precision):
    thresholds = (0.25, 0.5, 0.75) if task == "multilabel" else None
    spec = task_spec(task, calibration=Calibration(temperature=0.125, thresholds=thresholds))
    model = convolutional().eval()
    export_onnx(model, spec, tmp_path / "m.onnx", precision=precision)
    edge = lt_export.load(tmp_path / "m.onnx")
    image = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    with torch.no_grad():
        logits = model(torch.from_numpy(load_inputs([image], spec.preprocessing))) / 0.125
    scores = logits.softmax(dim=1) if task == "multiclass" else logits.sigmoid()
    np.testing.assert_allclose(edge.scores([image]), scores.numpy(), atol=1e-5 if precision == "fp32" else 5e-3)
    assert edge.task.calibration == spec.calibration


def test_the_model_in_memory_stays_exactly_as_it_was(tmp_path):
    model = convolutional().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    export_onnx(model, task_spec(), tmp_path / "m.onnx")
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_one_file_is_written_with_the_contract_inside(tmp_path):
    export_onnx(convolutional(), task_spec(), tmp_path / "m.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]
    proto = onnx.load(tmp_path / "m.onnx")
    onnx.checker.check_model(proto)
    assert [value.name for value in proto.graph.input] == ["images"]
    assert [value.name for value in proto.graph.output] == ["scores"]
    assert not any(tensor.external_data for tensor in proto.graph.initializer)
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    assert TaskSpec.from_json(metadata["lt_task_spec"]) == task_spec()
    assert metadata["names"] == "10: red, 20: grün, 30: blue"
    assert metadata["image_size"] == "16x24"
    assert not any("/" in value and "packages" in value for value in metadata.values())


@pytest.mark.parametrize("simplify", [True, False])
def test_the_file_tells_nothing_of_the_machine_it_was_made_on(tmp_path, simplify):
    export_onnx(convolutional(), task_spec(), tmp_path / "m.onnx", simplify=simplify)
    content = (tmp_path / "m.onnx").read_bytes()
    assert b"site-packages" not in content
    assert __file__.encode() not in content


@pytest.mark.parametrize("channels", [1, 4])
def test_any_number_of_channels_is_exported(tmp_path, channels):
    assert (
        export_onnx(convolutional(channels), task_spec(channels=channels), tmp_path / "m.onnx").verification is not None
    )


def test_a_fixed_batch_is_fixed(tmp_path):
    export_onnx(convolutional(), task_spec(), tmp_path / "m.onnx", dynamic_batch_size=False, batch_size=3)
    shape = onnx.load(tmp_path / "m.onnx").graph.input[0].type.tensor_type.shape
    assert [dim.dim_value for dim in shape.dim] == [3, 3, 16, 24]


def test_a_batch_size_beside_a_free_batch_is_said_to_do_nothing(tmp_path, caplog):
    export_onnx(convolutional(), task_spec(), tmp_path / "m.onnx", batch_size=3, verify=False, simplify=False)
    assert lt_export.load(tmp_path / "m.onnx").batch_limits.largest is None
    assert "for 3 at once turn `dynamic_batch_size` off" in caplog.text


def test_the_operator_set_can_be_chosen(tmp_path):
    export_onnx(convolutional(), task_spec(), tmp_path / "m.onnx", opset_version=18)
    assert [opset.version for opset in onnx.load(tmp_path / "m.onnx").opset_import if opset.domain == ""] == [18]


class Fickle(nn.Module):
    """Gives other scores each time it is run, so no export can agree with it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = convolutional()
        self.calls = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.inner(images) + torch.arange(3.0) * self.calls


def test_a_file_that_would_answer_differently_is_not_written_and_a_good_one_stays(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"good")
    with pytest.raises(VerificationError, match="answers differently"):
        export_onnx(Fickle(), task_spec(), tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx").read_bytes() == b"good"
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


class Untraceable(nn.Module):
    """Depends on its input in a way that no graph can follow."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = convolutional()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.inner(images) * float(images.sum().item() > 0 and len(str(images.mean().item())))


def test_a_model_that_cannot_be_exported_is_a_clear_error(tmp_path):
    with pytest.raises(ExportError, match="cannot export"):
        export_onnx(Untraceable(), task_spec(), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"precision": "fp8"}, "precision"),
        ({"precision": ["fp16"]}, "precision"),
        ({"batch_size": 0, "dynamic_batch_size": False}, "batch_size"),
        ({"batch_size": 2.0, "dynamic_batch_size": False}, "batch_size must be an integer of at least 1, got 2.0"),
        ({"batch_size": 10**9, "dynamic_batch_size": False}, "at most 268435456 at once; take a smaller"),
        ({"opset_version": "18"}, "opset_version must be an integer of at least 18, got '18'"),
        ({"opset_version": 17}, "opset_version must be an integer of at least 18, got 17"),
        ({"max_accuracy_drop": "a"}, "max_accuracy_drop must be from 0 to 100 points, got 'a'"),
        ({"max_accuracy_drop": float("nan")}, "max_accuracy_drop must be from 0 to 100 points, got nan"),
        ({"format_args": ["verbose"]}, "format_args must map arguments"),
        ({"format_args": {"input_names": ["x"]}}, "format_args: input_names is not free"),
        ({"images": 5}, "`images` must be a list of images or a folder, got int"),
        ({"images": [PIXELS], "labels": 10, "precision": "int8"}, "`labels` must be a list"),
    ],
)
def test_wrong_arguments_are_refused(tmp_path, arguments, message):
    with pytest.raises(ExportError, match=message):
        export_onnx(convolutional(), task_spec(), tmp_path / "m.onnx", **arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("out", [None, 5, b"m.onnx"])
def test_a_place_that_is_no_path_is_refused(out):
    with pytest.raises(ExportError, match="out must be a path, got"):
        export_onnx(convolutional(), task_spec(), out)


def test_images_too_large_for_memory_are_refused_before_any_work(tmp_path):
    with pytest.raises(ExportError, match="5 images of 1000000 x 24 pixels and 3 channels are 360000000 values"):
        export_onnx(convolutional(), task_spec(image_size=(1_000_000, 24)), tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": [10]}, "`labels` are those of `images`"),
        ({"labels": [10], "images": [PIXELS]}, 'precision="fp32" has no use for them'),
        ({"labels": [10], "images": [PIXELS], "precision": "fp16"}, 'precision="fp16" has no use for them'),
        ({"max_accuracy_drop": 2.0}, "max_accuracy_drop is for int8"),
        ({"images": [PIXELS], "verify": False}, "fp32 without `verify` has no use for them"),
    ],
)
def test_an_argument_that_would_do_nothing_is_refused(tmp_path, arguments, message):
    with pytest.raises(ExportError, match=message):
        export_onnx(convolutional(), task_spec(), tmp_path / "m.onnx", **arguments)
    assert list(tmp_path.iterdir()) == []


STEPS = {
    "fp32": ["tracing", "simplifying", "verifying on 3 images", "writing", "exported"],
    "fp16": ["tracing", "simplifying", "converting to fp16", "verifying on 3 images", "writing", "exported"],
    "int8": ["tracing", "simplifying", "quantising to int8", "measuring", "accuracy", "writing", "exported"],
}


@pytest.mark.parametrize("precision", STEPS)
def test_each_step_is_logged_and_nothing_is_printed(tmp_path, precision, caplog, capfd):
    caplog.set_level(logging.INFO, "lt_export")
    arguments = (
        {"precision": precision, "max_accuracy_drop": 100.0} if precision == "int8" else {"precision": precision}
    )
    export_onnx(convolutional(), task_spec(), tmp_path / "m.onnx", images=[PIXELS] * 3, **arguments)
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    assert len(told) == len(STEPS[precision])
    assert all(line.startswith(step) for line, step in zip(told, STEPS[precision], strict=True))
    assert capfd.readouterr().out == ""


def test_a_missing_folder_is_refused_before_any_work(tmp_path):
    with pytest.raises(ExportError, match="no such folder"):
        export_onnx(convolutional(), task_spec(), tmp_path / "no" / "m.onnx")
    with pytest.raises(ExportError, match="is a folder"):
        export_onnx(convolutional(), task_spec(), tmp_path)


def test_a_dynamic_batch_is_tried_with_one_two_and_five_images():
    batches = list(in_batches([np.zeros(1, np.uint8)] * 12, DYNAMIC_SIZES))
    assert [len(batch) for batch in batches] == [1, 2, 5, 1, 2, 5]


def test_a_file_that_is_no_onnx_file_is_never_overwritten(tmp_path):
    (tmp_path / "exported_best.pt").write_bytes(b"weeks of training")
    with pytest.raises(ExportError, match=r"must end in \.onnx"):
        export_onnx(convolutional(), task_spec(), tmp_path / "exported_best.pt")
    assert (tmp_path / "exported_best.pt").read_bytes() == b"weeks of training"


def test_a_place_that_cannot_be_written_to_is_refused_before_any_work(sealed_folder):
    class Untouched(torch.nn.Module):
        def __deepcopy__(self, memo):
            pytest.fail("the model was touched")

    with pytest.raises(ExportError, match=f"{sealed_folder}: cannot be written to"):
        export_onnx(Untouched(), task_spec(), sealed_folder / "m.onnx")
