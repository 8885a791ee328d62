"""The C++ example gives the scores of the Python runtime."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import attrs
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from torch import nn

import lt_export
from lt_data import Calibration, Classes, Preprocessing, TaskSpec
from lt_export.metadata import to_metadata
from lt_export.runtime.description import Description

SIZE = (16, 24)
SIZES = [(37, 53), (16, 24), (32, 48), (5, 9), (1, 1), (211, 30), (19, 300)]
"""Height and width of images: odd, the model's own, twice that, smaller, tall, wide."""


def task_spec(
    task: str = "multiclass", channels: int = 3, calibration: Calibration | None = None, **preprocessing: object
) -> TaskSpec:
    mean, std = (0.485, 0.456, 0.406, 0.1)[:channels], (0.229, 0.224, 0.225, 0.3)[:channels]
    spec = Preprocessing(image_size=SIZE, num_channels=channels, mean=mean, std=std, **preprocessing)
    classes = Classes((7, -3, 20), ("red", "grün", "light, blue"))
    return TaskSpec(task=task, classes=classes, preprocessing=spec, calibration=calibration or Calibration())


CALIBRATED = task_spec("multilabel", calibration=Calibration(temperature=0.25, thresholds=(0.7, 0.1, 0.4)))


def export(path: Path, task: TaskSpec, **arguments: object) -> Path:
    """A model whose scores depend on every pixel."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(task.preprocessing.num_channels * SIZE[0] * SIZE[1], 3))
    nn.init.uniform_(network[1].weight, -0.03, 0.03)
    lt_export.export_onnx(network, task, path, simplify=False, verify=False, **arguments)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return export(tmp_path_factory.mktemp("model") / "model.onnx", task_spec())


def picture(path: Path, size: tuple[int, int], channels: int = 3) -> Path:
    """An image with edges and gradients, not noise alone."""
    rng = np.random.default_rng(size)
    rows, columns = np.mgrid[: size[0], : size[1]]
    waves = [127 + 90 * np.sin(rows / (3 + band) + columns / (7 - band)) for band in range(channels)]
    pixels = np.stack(waves, axis=2) + rng.integers(-40, 40, (*size, channels))
    pixels[size[0] // 2 :, : size[1] // 3] = 255
    array = np.clip(pixels, 0, 255).astype(np.uint8)
    Image.fromarray(array[:, :, 0] if channels == 1 else array).save(path)
    return path


@pytest.fixture
def images(tmp_path) -> list[Path]:
    return [picture(tmp_path / f"{i}.ppm", size) for i, size in enumerate(SIZES)]


def run(program: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *map(str, arguments)], capture_output=True, encoding="utf-8", check=False)


def assert_same(
    program: Path, model: Path, images: list[Path], *, topk: int = 3, threshold: float | str = 0.5
) -> list[dict]:
    """The program's lines, each equal to what Python says of the image."""
    done = run(program, model, *images, "--topk", topk, "--threshold", threshold)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    edge = lt_export.load(model)
    for line, image in zip(lines, images, strict=True):
        expected = edge.predict(image, topk=topk, threshold=threshold)
        assert line["path"] == str(image)
        assert line["labels"] == expected["labels"].tolist()
        assert line["names"] == [edge.classes[label] for label in line["labels"]]
        np.testing.assert_allclose(line["scores"], expected["scores"], rtol=0, atol=1e-5)
    return lines


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("resize_mode", ["crop", "letterbox", "squash"])
def test_scores_are_those_of_python_for_every_way_to_resize(program, images, tmp_path, resize_mode, interpolation):
    task = task_spec(resize_mode=resize_mode, interpolation=interpolation)
    lines = assert_same(program, export(tmp_path / "model.onnx", task), images)
    assert len({round(line["scores"][0], 3) for line in lines}) > len(SIZES) // 2, "the images should not look alike"


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_grey_and_colour_files_serve_models_of_one_three_and_four_channels(program, tmp_path, channels):
    files = [
        picture(tmp_path / f"{name}", (33, 41), 3 if name == "colour.ppm" else 1) for name in ("colour.ppm", "grey.pgm")
    ]
    assert_same(program, export(tmp_path / "model.onnx", task_spec(channels=channels)), files)


@pytest.mark.parametrize("threshold", [0.35, 0.5, 0.6])
def test_a_multilabel_model_gives_the_labels_above_the_threshold(program, images, tmp_path, threshold):
    lines = assert_same(program, export(tmp_path / "model.onnx", task_spec("multilabel")), images, threshold=threshold)
    assert len({len(line["labels"]) for line in lines}) > 1, "the numbers of labels should differ"


def test_a_calibrated_model_gives_calibrated_scores_and_its_own_thresholds_when_asked(program, images, tmp_path):
    calibrated = export(tmp_path / "model.onnx", CALIBRATED)
    own = [line["labels"] for line in assert_same(program, calibrated, images, threshold="auto")]
    assert own != [line["labels"] for line in assert_same(program, calibrated, images)]


def test_auto_thresholds_are_refused_where_none_were_fitted(program, images, tmp_path):
    done = run(program, export(tmp_path / "model.onnx", task_spec("multilabel")), images[0], "--threshold", "auto")
    assert (done.returncode, done.stdout) == (2, "")
    assert "this model has no thresholds" in done.stderr


def test_the_best_class_alone_is_given_unless_more_are_asked_for(program, model, images):
    best = [json.loads(line)["labels"] for line in run(program, model, *images).stdout.splitlines()]
    assert best == [line["labels"][:1] for line in assert_same(program, model, images)]


def test_a_model_with_a_fixed_batch_takes_single_images(program, images, tmp_path):
    fixed = export(tmp_path / "model.onnx", task_spec(), batch_size=3, dynamic_batch_size=False)
    assert_same(program, fixed, images)


def test_a_model_that_preprocesses_by_itself_is_fed_pixels(program, images, tmp_path):
    description = Description(
        task=task_spec(),
        precision="fp32",
        includes_preprocessing=True,
        version="0",
        checkpoint_sha256="",
        reference_scores=np.empty((0, 3), np.float32),
    )
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "axes"], ["color"], keepdims=0),
        helper.make_node("Gemm", ["color", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "mean colour",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", "H", "W", 3])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 3])],
        [
            numpy_helper.from_array(np.array([1, 2]), "axes"),
            numpy_helper.from_array(np.eye(3, dtype=np.float32) / 50, "weights"),
        ],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(proto, to_metadata(description))
    onnx.save(proto, tmp_path / "model.onnx")
    assert_same(program, tmp_path / "model.onnx", images)


@pytest.mark.parametrize("format", ["png", "jpg"])
def test_png_and_jpeg_files_give_the_scores_of_python(program, model, tmp_path, format):
    files = [
        picture(tmp_path / f"{channels}_{size[0]}.{format}", size, channels) for size in SIZES for channels in (1, 3)
    ]
    done = run(program, model, files[0])
    if "not of a format that this program was built with" in done.stderr:
        pytest.skip(f"built without a library for {format}")
    assert_same(program, model, files)


def changed(model: Path, out: Path, **changes: str | None) -> Path:
    """The model with other metadata; None leaves a key out."""
    proto = onnx.load(model)
    metadata = {entry.key: entry.value for entry in proto.metadata_props} | changes
    helper.set_model_props(proto, {key: value for key, value in metadata.items() if value is not None})
    onnx.save(proto, out)
    return out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lt_task_spec": None}, "has no TaskSpec (metadata key `lt_task_spec`); export it with"),
        ({"lt_task_spec": "{"}, "lt_task_spec is damaged"),
        ({"lt_task_spec": "{}"}, "lt_task_spec is damaged"),
        ({"lt_task_spec": '{"format": "other", "version": 1}'}, 'must be "lightly-train/task-spec"'),
        ({"lt_task_spec": task_spec().to_json().replace('"version": 1', '"version": 2')}, "version 1, the file has 2"),
        ({"lt_task_spec": task_spec().to_json().replace('"crop"', '"stretch"')}, '`resize_mode` is "stretch"'),
        (
            {"lt_task_spec": CALIBRATED.to_json().replace("0.1, ", "")},
            "need one threshold for each class",
        ),
        ({"input": None}, '`input` is "", which this program does not know'),
        ({"input": "float16"}, '`input` is "float16"'),
    ],
)
def test_missing_and_foreign_metadata_is_refused(program, model, images, tmp_path, changes, message):
    foreign = changed(model, tmp_path / "foreign.onnx", **changes)
    done = run(program, foreign, images[0])
    assert done.returncode == 2
    assert not done.stdout
    assert f"{foreign}: " in done.stderr
    assert message in done.stderr


def test_a_task_with_other_classes_than_the_model_has_scores_is_refused(program, model, images, tmp_path):
    more = attrs.evolve(task_spec(), classes=Classes((1, 2, 3, 4), ("a", "b", "c", "d")))
    done = run(program, changed(model, tmp_path / "m.onnx", lt_task_spec=more.to_json()), images[0])
    assert (done.returncode, done.stdout) == (2, "")
    assert "one score for each class" in done.stderr


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_a_file_that_is_no_readable_image_is_refused_by_name(program, model, tmp_path):
    whole = picture(tmp_path / "whole.ppm", (8, 9)).read_bytes()
    transparent, turned = tmp_path / "transparent.png", tmp_path / "turned.jpg"
    Image.new("RGBA", (9, 9)).save(transparent)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (9, 9)).save(turned, exif=exif)
    bad = {
        tmp_path / "nothing.ppm": "cannot be read",
        written(tmp_path / "cut.ppm", whole[:-1]): "is truncated",
        written(tmp_path / "header.ppm", b"P6\n# a comment without end"): "has a damaged header",
        written(tmp_path / "huge.ppm", b"P6\n100000 100000\n255\n"): "has no size",
        written(tmp_path / "deep.pgm", b"P5\n1 1\n65535\n\0\0"): "does not have 8 bits",
        written(tmp_path / "text.png", b"no image"): "is not of a format",
        transparent: ("has transparency", "is not of a format"),
        turned: ("is stored turned", "is not of a format"),
    }
    for path, messages in bad.items():
        done = run(program, model, path)
        assert (done.returncode, done.stdout) == (2, "")
        expected = (messages,) if isinstance(messages, str) else messages
        assert any(f"{path}: {message}" in done.stderr for message in expected), done.stderr


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--topk", "0", "--topk must be an integer from 1 to 3"),
        ("--topk", "4", "--topk must be an integer from 1 to 3"),
        ("--topk", "1.5", "--topk must be an integer from 1 to 3"),
        ("--topk", "3x", '--topk needs a number, got "3x"'),
        ("--threshold", "1", "--threshold must be above 0 and below 1"),
        ("--threshold", "", '--threshold needs a number, got ""'),
    ],
)
def test_arguments_out_of_range_are_refused(program, model, images, option, value, message):
    done = run(program, model, images[0], option, value)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_a_call_without_an_image_is_answered_with_the_usage(program, model):
    done = run(program, model)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: classify model.onnx image.ppm")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "-DONNXRUNTIME_ROOT"),
        ({"ONNXRUNTIME_INCLUDE": "/"}, "-DONNXRUNTIME_ROOT"),
        ({"ONNXRUNTIME_INCLUDE": "/", "ONNXRUNTIME_LIBRARY": "/onnxruntime.so"}, "-DNLOHMANN_JSON_INCLUDE"),
    ],
)
def test_headers_that_are_missing_are_told_with_what_names_their_place(program, tmp_path, given, message):
    example = Path(__file__).parents[4] / "examples" / "cpp"
    elsewhere = {f"CMAKE_FIND_ROOT_PATH_MODE_{kind}": "ONLY" for kind in ("INCLUDE", "LIBRARY", "PACKAGE")}
    elsewhere["CMAKE_FIND_ROOT_PATH"] = str(tmp_path / "nothing")
    options = [f"-D{name}={value}" for name, value in (elsewhere | given).items()]
    command = ["cmake", "-S", example, "-B", tmp_path / "build", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert message in done.stderr
    assert "docs/cpp.md" in done.stderr
