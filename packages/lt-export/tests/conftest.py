from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import onnx
import pytest
from mean_colour import WEIGHTS, description
from onnx import TensorProto, helper, numpy_helper

from lt_export.metadata import to_metadata


def write_onnx(
    path: Path,
    *,
    batch: int | str = "N",
    task: str = "multiclass",
    metadata: dict[str, str] | None = None,
    size: tuple[int, int] = (16, 24),
    outputs: int = 3,
    input_name: str = "images",
) -> Path:
    """Write a classifier of mean colour by hand, without PyTorch."""
    activation = helper.make_node("Softmax" if task == "multiclass" else "Sigmoid", ["logits"], ["scores"])
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", [input_name], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("Gemm", ["flat", "weights"], ["logits"]),
            activation,
        ],
        "mean colour",
        [helper.make_tensor_value_info(input_name, TensorProto.FLOAT, [batch, 3, *size])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, outputs])],
        [numpy_helper.from_array(WEIGHTS[:, :outputs], "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, to_metadata(description(task)) if metadata is None else metadata)
    onnx.save(model, path)
    return path


@pytest.fixture(scope="session")
def onnx_writer() -> Callable[..., Path]:
    """`onnx_writer(path, task="multilabel")`, for files that several tests share."""
    return write_onnx


@pytest.fixture
def make_onnx(tmp_path: Path) -> Callable[..., Path]:
    """Write a classifier of mean colour by hand, without PyTorch: `make_onnx(batch=2, task="multilabel")`."""
    return partial(write_onnx, tmp_path / "model.onnx")


@pytest.fixture
def sealed_folder() -> Path:
    """A folder that even root cannot write to; skips the test where there is none."""
    folder = Path("/proc/self")
    if not folder.is_dir():
        pytest.skip("there is no folder here that even root cannot write to")
    return folder
