"""Files that somebody made to do harm, or that are merely damaged."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mean_colour import description
from onnx import TensorProto, helper, numpy_helper

import lt_export
from lt_export import EdgeModelError
from lt_export.metadata import to_metadata


def changed(path, change) -> None:
    model = onnx.load(path)
    change(model)
    path.write_bytes(model.SerializeToString())


def external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../secret")


def named_external(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].external_data.add(key="location", value="/etc/passwd")


def external_in_a_constant(model: onnx.ModelProto) -> None:
    tensor = TensorProto(name="c", data_type=TensorProto.FLOAT, dims=[3], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="secret")
    model.graph.node.insert(0, helper.make_node("Constant", [], ["c"], value=tensor))


def external_in_a_branch(model: onnx.ModelProto) -> None:
    tensor = TensorProto(name="c", data_type=TensorProto.FLOAT, dims=[3], data_location=TensorProto.EXTERNAL)
    branch = helper.make_graph([], "branch", [], [helper.make_tensor_value_info("c", 1, [3])], [tensor])
    model.graph.node.insert(0, helper.make_node("If", ["p"], ["q"], then_branch=branch, else_branch=branch))


def giant(model: onnx.ModelProto) -> None:
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend([2**40, 2**20])


def negative(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[0] = -3


def giant_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 2**40


def short(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-4]


def foreign_operator(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.example.evil", 1))


def foreign_node(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "com.example.evil"


def function(model: onnx.ModelProto) -> None:
    model.functions.append(helper.make_function("d", "F", ["x"], ["y"], [helper.make_node("Relu", ["x"], ["y"])], []))


def sparse(model: onnx.ModelProto) -> None:
    values = numpy_helper.from_array(np.ones(1, np.float32), "v")
    places = numpy_helper.from_array(np.zeros(1, np.int64), "i")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [10**6]))


def nested(model: onnx.ModelProto) -> None:
    graph = helper.make_graph([], "leaf", [], [])
    for _ in range(20):
        graph = helper.make_graph([helper.make_node("Loop", [], [], body=graph)], "g", [], [])
    model.graph.node.append(helper.make_node("Loop", [], [], body=graph))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (external, "in other files"),
        (named_external, "in other files"),
        (external_in_a_constant, "in other files"),
        (external_in_a_branch, "in other files"),
        (giant, "elements are allowed"),
        (negative, "elements are allowed"),
        (giant_input, "elements are allowed"),
        (short, "should have 36 bytes and has 32"),
        (foreign_operator, "com.example.evil"),
        (foreign_node, "com.example.evil"),
        (function, "functions"),
        (sparse, "sparse"),
        (nested, "nested"),
    ],
)
def test_a_hostile_file_is_refused_before_onnx_runtime_sees_it(make_onnx, monkeypatch, change, message):
    path = make_onnx()
    changed(path, change)

    def reached(*args, **kwargs):
        pytest.fail("ONNX Runtime was given the file")

    monkeypatch.setattr("lt_export.runtime.loading.open_session", reached)
    with pytest.raises(EdgeModelError, match=message) as caught:
        lt_export.load(path)
    assert str(path) in str(caught.value)


def test_external_data_is_refused_even_where_the_other_file_is_there(make_onnx, tmp_path):
    path = make_onnx()
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (tmp_path / "weights.bin").exists()
    with pytest.raises(EdgeModelError, match="in other files"):
        lt_export.load(path)


def test_a_file_above_the_limit_is_not_read(tmp_path):
    with open(tmp_path / "m.onnx", "wb") as stream:
        stream.truncate(2**31)
    with pytest.raises(EdgeModelError, match="2147483648 bytes"):
        lt_export.load(tmp_path / "m.onnx")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "m.onnx")
    with pytest.raises(EdgeModelError, match="is not a file"):
        lt_export.load(tmp_path / "m.onnx")


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells the peak of a process")
def test_a_model_that_asks_for_all_memory_gets_an_error_and_the_process_lives(make_onnx):
    path = make_onnx()

    def grow(model: onnx.ModelProto) -> None:
        """Multiplies the shape of the input, so that nothing in the file itself is large."""
        factors = numpy_helper.from_array(np.array([10, 20, 100, 100], np.int64), "factors")
        model.graph.initializer.append(factors)
        one = numpy_helper.from_array(np.zeros(1, np.float32))
        nodes = [
            helper.make_node("Shape", ["images"], ["shape"]),
            helper.make_node("Mul", ["shape", "factors"], ["large"]),
            helper.make_node("ConstantOfShape", ["large"], ["filled"], value=one),
            helper.make_node("ReduceMax", ["filled"], ["nothing"], keepdims=0),
            helper.make_node("Add", ["weights", "nothing"], ["weights_2"]),
        ]
        for node in model.graph.node:
            if node.op_type == "Gemm":
                node.input[1] = "weights_2"
        first = list(model.graph.node)
        del model.graph.node[:]
        model.graph.node.extend([*nodes, *first])

    changed(path, grow)
    code = """
import sys, numpy as np, lt_export
try:
    lt_export.load(sys.argv[1]).predict(np.zeros((30, 40, 3), np.uint8))
except lt_export.EdgeModelError as error:
    # Of this process alone; getrusage would count in what the one before exec had.
    peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print("refused", int(peak) < 2**20)
"""
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "refused True", done.stderr


@pytest.fixture(scope="module")
def good() -> bytes:
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["images"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("Softmax", ["flat"], ["scores"]),
        ],
        "g",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, 16, 24])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, to_metadata(description()))
    return bytes(model.SerializeToString())


@settings(deadline=None, max_examples=300)
@given(
    places=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    kept=st.floats(0.5, 1),
)
def test_damage_anywhere_is_an_error_of_ours_or_leaves_a_model_that_answers(good, tmp_path_factory, places, kept):
    content = bytearray(good)
    for place, value in places:
        content[int(place * len(content))] = value
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    path.write_bytes(content[: int(kept * len(content))])
    try:
        scores = lt_export.load(path, num_threads=1).scores([np.zeros((8, 8, 3), np.uint8)])
    except EdgeModelError:
        return
    assert scores.shape == (1, 3)
