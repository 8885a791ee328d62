from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path

import attrs
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from lt_data import Classes, Preprocessing, TaskSpec, preprocess
from lt_export.metadata import to_metadata
from lt_export.probes import PROBES, probe_images
from lt_export.runtime import tensorrt_library
from lt_export.runtime.description import Description

FAKES = Path(__file__).parent / "fakes"

TASK = TaskSpec(
    task="multiclass",
    classes=Classes((10, 20, 30), ("red", "grün", "blue")),
    preprocessing=Preprocessing(image_size=(16, 24), mean=(0.4,) * 3, std=(0.2,) * 3),
)
SHAPE = (3, 16, 24)


def load_fake(name: str) -> types.ModuleType:
    """A module of its own for each test."""
    spec = importlib.util.spec_from_file_location(f"fake_{name}", FAKES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@attrs.frozen
class Gpu:
    """A machine with a GPU, CUDA and TensorRT, none of them real.

    Attributes:
        tensorrt: What `import tensorrt` gives.
        cuda: What `from cuda.bindings import runtime` gives.
    """

    tensorrt: types.ModuleType
    cuda: types.ModuleType

    @property
    def deserialized(self) -> int:
        """How often TensorRT was given an engine."""
        return self.tensorrt.Runtime.deserialized


@pytest.fixture
def install_gpu(monkeypatch) -> Callable[..., Gpu]:
    """Put the fakes where `import` finds them: `install_gpu(10)`, or another version with `version="10.14.1.48"`."""

    def install(major: int, version: str = "") -> Gpu:
        cuda, library = load_fake("cuda_runtime"), types.ModuleType("tensorrt")
        library.__spec__ = importlib.machinery.ModuleSpec("tensorrt", None)
        names = load_fake(f"tensorrt_{major}")
        load_fake("common").fill(
            library,
            cuda,
            version=version or names.VERSION,
            builder_flags=names.BuilderFlag,
            network_flags=names.NetworkDefinitionCreationFlag,
            **names.ONLY_HERE,
        )
        bindings = types.ModuleType("cuda.bindings")
        bindings.runtime = cuda
        monkeypatch.setitem(sys.modules, "cuda", types.ModuleType("cuda"))
        monkeypatch.setitem(sys.modules, "cuda.bindings", bindings)
        monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", cuda)
        monkeypatch.setitem(sys.modules, "tensorrt", library)
        tensorrt_library.shared_log.cache_clear()
        return Gpu(library, cuda)

    yield install
    tensorrt_library.shared_log.cache_clear()


@pytest.fixture(params=[10, 11], ids=["TensorRT 10", "TensorRT 11"])
def gpu(request, install_gpu) -> Gpu:
    """Both versions, one after the other."""
    return install_gpu(request.param)


@pytest.fixture
def without_tensorrt(monkeypatch) -> None:
    """As on most machines, whatever is installed on this one."""
    monkeypatch.setitem(sys.modules, "tensorrt", None)


def nodes(precision: str, weights: np.ndarray) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Mean colour, times weights, in a precision that the graph itself states."""
    pooled = [
        helper.make_node("GlobalAveragePool", ["images"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
    ]
    if precision == "fp32":
        held = [numpy_helper.from_array(weights, "weights")]
        middle = [helper.make_node("MatMul", ["flat", "weights"], ["logits"])]
    elif precision == "fp16":
        held = [numpy_helper.from_array(weights.astype(np.float16), "weights")]
        middle = [
            helper.make_node("Cast", ["flat"], ["half"], to=TensorProto.FLOAT16),
            helper.make_node("MatMul", ["half", "weights"], ["half_logits"]),
            helper.make_node("Cast", ["half_logits"], ["logits"], to=TensorProto.FLOAT),
        ]
    else:
        held = [
            numpy_helper.from_array(np.rint(weights / 0.05).astype(np.int8), "weights8"),
            numpy_helper.from_array(np.float32(0.05), "scale"),
            numpy_helper.from_array(np.int8(0), "zero"),
        ]
        middle = [
            helper.make_node("DequantizeLinear", ["weights8", "scale", "zero"], ["weights"]),
            helper.make_node("QuantizeLinear", ["flat", "scale", "zero"], ["flat8"]),
            helper.make_node("DequantizeLinear", ["flat8", "scale", "zero"], ["flat_again"]),
            helper.make_node("MatMul", ["flat_again", "weights"], ["logits"]),
        ]
    return [*pooled, *middle, helper.make_node("Softmax", ["logits"], ["scores"])], held


@pytest.fixture
def make_onnx(tmp_path) -> Callable[..., Path]:
    """Write a classifier of mean colour, with the scores that it gives noted in it."""

    def make(
        name: str = "model.onnx",
        *,
        batch: int | str = "N",
        precision: str = "fp32",
        factor: float = 3.0,
        noted: Callable[[np.ndarray], np.ndarray] = lambda scores: scores,
        includes_preprocessing: bool = False,
    ) -> Path:
        operators, weights = nodes(precision, np.eye(3, dtype=np.float32) * np.float32(factor))

        def proto(size: int | str) -> onnx.ModelProto:
            graph = helper.make_graph(
                operators,
                "mean colour",
                [helper.make_tensor_value_info("images", TensorProto.FLOAT, [size, *SHAPE])],
                [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [size, 3])],
                weights,
            )
            return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)

        spec = TASK.preprocessing
        probes = np.stack([preprocess(image, spec) for image in probe_images(spec, PROBES)])
        session = onnxruntime.InferenceSession(proto("N").SerializeToString(), providers=["CPUExecutionProvider"])
        description = Description(
            task=TASK,
            precision=precision,
            includes_preprocessing=includes_preprocessing,
            version="0",
            checkpoint_sha256="ab" * 32,
            reference_scores=noted(session.run(None, {"images": probes})[0]),
        )
        model = proto(batch)
        helper.set_model_props(model, to_metadata(description))
        path = tmp_path / name
        onnx.save(model, path)
        return path

    return make


@pytest.fixture
def header() -> Callable[[Path], dict]:
    """What a fake engine notes of how it was built."""
    return lambda engine: json.loads(engine.read_bytes().removeprefix(b"fake engine ").split(b"\n", 1)[0])
