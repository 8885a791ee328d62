from __future__ import annotations

import inspect
import io
import shlex
import shutil
import socket
import subprocess
import sys
from importlib import metadata

import numpy as np
import pytest
import torch
from PIL import Image

import lightly_train
import lt_export
from lightly_train.errors import EngineError, ExportError, ImageDecodeError, ModelFileError, PredictionArgumentError

NAMES = [
    "CalibrationResult",
    "Evaluation",
    "ImageClassification",
    "OnnxExport",
    "Prediction",
    "TensorRTExport",
    "TrainResult",
    "errors",
    "evaluate",
    "list_models",
    "load_model",
    "train_image_classification",
]


@pytest.fixture(scope="module")
def model(trained):
    return lightly_train.load_model(trained.exported_best, device="cpu")


@pytest.fixture(scope="module")
def image(data):
    return data["val"] / "green" / "2.png"


def test_the_public_names_are_exactly_these():
    assert sorted(lightly_train.__all__) == NAMES


def test_the_version_is_that_of_the_installed_package():
    assert lightly_train.__version__ == metadata.version("lightly-train")
    with pytest.raises(AttributeError, match="no_such_name"):
        lightly_train.no_such_name  # noqa: B018  # the name is resolved when it is used


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_has_a_docstring_of_its_own(name):
    assert (inspect.getdoc(getattr(lightly_train, name)) or "").strip()


def test_predict_gives_the_users_class_ids_and_falling_scores(model, image):
    result = model.predict(str(image), topk=3, threshold=0.5)
    assert result["labels"].dtype == torch.int64
    assert result["labels"].shape == result["scores"].shape == (3,)
    assert set(result["labels"].tolist()) == {4, 7, 9}
    assert int(result["labels"][0]) == 7
    assert (result["scores"].diff() <= 0).all()
    assert float(result["scores"].sum()) == pytest.approx(1.0)


def test_every_way_to_give_an_image_gives_the_same_scores(model, image):
    expected = model.predict(image, topk=3)
    pixels = np.asarray(Image.open(image))
    tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
    for same in (image.as_uri(), Image.open(image), pixels, tensor, tensor.float() / 255, tensor.double() / 255):
        result = model.predict(same, topk=3)
        assert torch.equal(result["labels"], expected["labels"])
        assert torch.equal(result["scores"], expected["scores"])


def test_a_batch_gives_what_single_images_give(model, data):
    paths = sorted(data["val"].glob("*/*.png"))
    together = model.predict_batch(paths, topk=2)
    for path, one in zip(paths, together, strict=True):
        alone = model.predict(path, topk=2)
        assert torch.equal(one["labels"], alone["labels"])
        torch.testing.assert_close(one["scores"], alone["scores"], atol=1e-6, rtol=0)
    assert model.predict_batch([]) == []


def test_predicting_leaves_a_model_in_training_mode_as_it_was(model, image):
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.predict(image)
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    model.eval()


def test_predicting_leaves_parts_in_evaluation_mode_as_they_were_also_after_an_error(model, image):
    model.train()
    model.classifier.backbone.eval()
    before = {name: module.training for name, module in model.named_modules()}
    model.predict(image)
    assert {name: module.training for name, module in model.named_modules()} == before
    with pytest.raises(RuntimeError):
        model.run(torch.zeros(1, 5, 32, 32))
    assert {name: module.training for name, module in model.named_modules()} == before
    model.eval()


def test_topk_above_the_number_of_classes_says_how_many_there_are(model, image):
    with pytest.raises(PredictionArgumentError, match="1 to 3"):
        model.predict(image, topk=4)


def test_a_tensor_with_its_channels_last_is_told_what_turns_it(model):
    with pytest.raises(ImageDecodeError, match=r"\(C, H, W\) for 3 channels, got \(41, 50, 3\); .*permute\(2, 0, 1\)"):
        model.predict(torch.zeros(41, 50, 3))
    with pytest.raises(ImageDecodeError, match=r"got \(41, 50, 60\)$"):
        model.predict(torch.zeros(41, 50, 60))


def test_a_single_open_file_is_an_image_and_no_batch(model, image):
    content = image.read_bytes()
    assert model.predict(io.BytesIO(content))["labels"].tolist() == model.predict(image)["labels"].tolist()
    with pytest.raises(PredictionArgumentError, match=r"of a single image, \[image\] is one"):
        model.predict_batch(io.BytesIO(content))


def test_a_batch_may_be_an_array_or_a_tensor_but_not_a_single_path(model, image):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 20, 20, 3), dtype=np.uint8)
    from_array = model.predict_batch(pixels)
    from_tensor = model.predict_batch(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    assert [one["scores"].tolist() for one in from_array] == [one["scores"].tolist() for one in from_tensor]
    with pytest.raises(PredictionArgumentError, match="list of images"):
        model.predict_batch(str(image))
    with pytest.raises(PredictionArgumentError, match=r"of shape \(N, H, W, C\), got one of \(20, 20, 3\); a list"):
        model.predict_batch(pixels[0])


def test_the_home_folder_is_found_wherever_a_path_goes_in(run, trained, data, home):
    shutil.copytree(data["val"], home / "val")
    shutil.copy(trained.exported_best, home / "m.pt")
    model = lightly_train.load_model("~/m.pt", device="cpu")
    assert torch.equal(model.predict("~/val/red/0.png")["scores"], model.predict(home / "val/red/0.png")["scores"])
    assert model.embed(["~/val/red/0.png"]).shape[0] == 1
    model.predict_folder("~/val", "~/found.csv")
    model.save("~/saved.pt")
    model.export_onnx("~/m.onnx", images="~/val")
    assert lt_export.load("~/m.onnx", device="cpu").predict("~/val/red/0.png")
    lightly_train.evaluate("~/saved.pt", "~/val").write("~/figures")
    assert lightly_train.evaluate("~/m.onnx", "~/val", device="cpu").num_images == 12
    assert run("~/run", model="~/m.pt", steps=1).out == home / "run"
    assert {"found.csv", "saved.pt", "m.onnx", "figures"} <= {path.name for path in home.iterdir()}


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "cpu:x"])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(trained, model, data, device):
    with pytest.raises(PredictionArgumentError, match=rf"one that is here \(cpu.*\), got {device}"):
        lightly_train.load_model(trained.exported_best, device=device)
    with pytest.raises(PredictionArgumentError, match="this one is loaded already"):
        lightly_train.evaluate(model, data["val"], device=device)


def test_a_model_says_what_it_is_in_one_line(model):
    assert repr(model) == "ImageClassification(timm/test_resnet-notpretrained, 32 x 32, multiclass: red, green, blue)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"height": 0}, "height must be an integer of at least 1, in pixels, got 0"),
        ({"width": 96.5}, "width must be an integer of at least 1, in pixels, got 96.5"),
        ({"height": "96"}, "height must be an integer of at least 1, in pixels, got '96'"),
        ({"height": 10**7}, "at most 268435456 at once; take a smaller height"),
        ({"out": None}, "out must be a path, got None"),
    ],
)
def test_impossible_export_arguments_are_refused(model, tmp_path, arguments, message):
    with pytest.raises(ExportError, match=message):
        model.export_onnx(**{"out": tmp_path / "m.onnx", **arguments})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "wrong",
    [
        torch.zeros(3, 8),
        torch.zeros(3, 8, 8, dtype=torch.int32),
        torch.full((3, 8, 8), 255.0),
        torch.full((3, 8, 8), -1.0),
    ],
)
def test_tensors_that_cannot_be_images_are_refused(model, wrong):
    with pytest.raises(ImageDecodeError):
        model.predict(wrong)


def test_a_file_that_is_not_ours_is_refused_and_never_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return exec, ("raise RuntimeError('executed')",)

    torch.save({"model": Bomb()}, tmp_path / "foreign.pt")
    with pytest.raises(ModelFileError, match=r"foreign\.pt.*nothing in it was executed"):
        lightly_train.load_model(tmp_path / "foreign.pt")


def test_a_wrong_path_of_a_model_is_told_without_waiting_for_pytorch(tmp_path):
    (tmp_path / "model.pt").write_text("none")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "exported_best.pt").touch()
    code = """
import sys, lightly_train
for path in sys.argv[1:]:
    try:
        lightly_train.load_model(path)
    except lightly_train.errors.ModelFileError as error:
        print(error)
print("torch" in sys.modules)
"""
    words = [sys.executable, "-c", code, "nothing.pt", ".", "model.pt", "models"]
    told = subprocess.check_output(words, text=True, cwd=tmp_path).splitlines()
    assert told[0] == f"nothing.pt: there is no such file (it is looked for at {tmp_path / 'nothing.pt'})"
    assert "is a folder" in told[1]
    assert "is not a model that lightly-train exported" in told[2]
    assert told[3].endswith("models: is a folder; a run's best model is exported_best.pt in it")
    assert told[4:] == ["False"]


def test_the_model_is_a_module_that_turns_batches_into_logits(model):
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 3)
    assert isinstance(model, torch.nn.Module)


def test_export_may_change_the_input_size_and_the_file_says_so(model, tmp_path):
    import lt_export

    report = model.export_onnx(tmp_path / "m.onnx", height=48, width=64)
    assert lt_export.load(report.path).task.preprocessing.image_size == (48, 64)
    assert model.task.preprocessing.image_size == (32, 32)


def test_without_tensorrt_the_onnx_file_is_there_and_the_error_says_what_builds_an_engine_from_it(
    model, tmp_path, monkeypatch
):
    import lt_export

    monkeypatch.setitem(sys.modules, "tensorrt", None)
    out = tmp_path / "my model.trt"
    with pytest.raises(EngineError, match="TensorRT is not installed") as caught:
        model.export_tensorrt(out, onnx_args={"height": 48, "width": 64}, min_batchsize=1, max_batchsize=8)
    assert [path.name for path in tmp_path.iterdir()] == ["my model.onnx"]
    assert lt_export.load(tmp_path / "my model.onnx").task.preprocessing.image_size == (48, 64)
    command = shlex.split(caught.value.command)
    assert command[:3] == ["trtexec", f"--onnx={tmp_path / 'my model.onnx'}", f"--saveEngine={out}"]
    assert "--maxShapes=images:8x3x48x64" in command
    with pytest.raises(ExportError, match="at least 1"):
        model.export_tensorrt(out, onnx_args={"height": 0})
    with pytest.raises(EngineError, match="onnx_args must map"):
        model.export_tensorrt(out, onnx_args="fp16")


def test_nothing_connects_to_a_network(run, tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError(f"a connection was asked for: {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    result = run(tmp_path / "run", steps=1)
    model = lightly_train.load_model(result.exported_best, device="cpu")
    model.predict(np.zeros((8, 8, 3), np.uint8))
    model.export_onnx(tmp_path / "m.onnx")
