from __future__ import annotations

import itertools

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import convolutional, task_spec
from onnx import TensorProto, helper

import lt_export
from lt_data import Preprocessing, preprocess
from lt_export import export_onnx
from lt_export.preprocessing_module import EvaluationPreprocessing
from lt_export.runtime.onnx_runner import open_session
from lt_export.tracing import with_preprocessing

sides = st.integers(1, 150)


@st.composite
def specs(draw):
    channels = draw(st.sampled_from([1, 3, 4, 6]))
    return Preprocessing(
        image_size=(draw(st.integers(1, 60)), draw(st.integers(1, 60))),
        num_channels=channels,
        resize_mode=draw(st.sampled_from(["crop", "letterbox", "squash"])),
        resize_scale=draw(st.sampled_from([1.0, 1.143, 2.0])),
        interpolation=draw(st.sampled_from(["bilinear", "bicubic"])),
        mean=tuple(draw(st.floats(0.0, 1.0)) for _ in range(channels)),
        std=tuple(draw(st.floats(0.05, 1.0)) for _ in range(channels)),
    )


@settings(deadline=None)
@given(spec=specs(), height=sides, width=sides, seed=st.integers(0, 2**32 - 1))
def test_the_module_gives_what_lt_data_gives_to_the_bit(spec, height, width, seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, spec.num_channels), dtype=np.uint8)
    found = EvaluationPreprocessing(spec)(torch.from_numpy(image)[np.newaxis]).numpy()[0]
    np.testing.assert_array_equal(found, preprocess(image, spec))


@pytest.mark.parametrize("mode", ["crop", "letterbox", "squash"])
def test_the_graph_gives_what_lt_data_gives_to_the_bit(mode):
    """Numbers that the exporter writes in single precision would move some crops by a pixel."""
    task = task_spec(resize_mode=mode, image_size=(32, 32), resize_scale=1 / 0.95)
    session = open_session(with_preprocessing(identity(), task, batch_size=None).SerializeToString())
    rng = np.random.default_rng(0)
    for height, width in itertools.product((*range(1, 80, 4), 150, 333), (*range(2, 80, 5), 150, 200)):
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        (found,) = session.run(None, {"images": image[np.newaxis]})
        np.testing.assert_array_equal(found[0], preprocess(image, task.preprocessing), err_msg=f"{height} x {width}")


def identity() -> onnx.ModelProto:
    shape = ["N", 3, 32, 32]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["images"], ["scores"])],
        "identity",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, shape)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize(
    ("mode", "interpolation", "precision", "channels"),
    [
        ("crop", "bilinear", "fp32", 3),
        ("letterbox", "bicubic", "fp32", 1),
        ("squash", "bicubic", "fp16", 4),
    ],
)
def test_a_file_with_preprocessing_takes_images_of_any_size(tmp_path, mode, interpolation, precision, channels):
    spec = task_spec(channels=channels, resize_mode=mode, interpolation=interpolation)
    network = convolutional(channels)
    export_onnx(network, spec, tmp_path / "plain.onnx", precision=precision)
    export_onnx(network, spec, tmp_path / "whole.onnx", precision=precision, include_preprocessing=True)
    plain, whole = (lt_export.load(tmp_path / name) for name in ("plain.onnx", "whole.onnx"))
    assert whole.description.includes_preprocessing
    rng = np.random.default_rng(0)
    sizes = [(16, 24), (100, 31), (7, 9), (64, 64), (64, 64), (240, 320)]
    images = [rng.integers(0, 256, (*size, channels), dtype=np.uint8) for size in sizes]
    np.testing.assert_allclose(whole.scores(images), plain.scores(images), atol=1e-6)
    whole.selftest()


def test_a_fixed_batch_with_preprocessing_takes_single_images_too(tmp_path):
    spec = task_spec()
    export_onnx(
        convolutional(),
        spec,
        tmp_path / "m.onnx",
        include_preprocessing=True,
        dynamic_batch_size=False,
        batch_size=2,
        simplify=False,
    )
    edge = lt_export.load(tmp_path / "m.onnx")
    images = list(np.random.default_rng(0).integers(0, 256, (3, 40, 50, 3), dtype=np.uint8))
    alone = [edge.scores([image])[0] for image in images]
    np.testing.assert_allclose(edge.scores(images), alone, atol=1e-6)


def test_the_newest_operators_are_not_needed(tmp_path):
    for opset, mode in itertools.product((18, 20), ("crop", "letterbox")):
        out = tmp_path / f"{opset}.onnx"
        report = export_onnx(
            convolutional(), task_spec(resize_mode=mode), out, include_preprocessing=True, opset_version=opset
        )
        assert report.verification is not None
