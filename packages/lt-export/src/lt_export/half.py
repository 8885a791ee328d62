"""From an fp32 graph to one with fp16 weights, whose fragile parts stay in fp32.

The types are written into the graph, as casts: every runtime computes what the file says, and a strongly typed
TensorRT network needs nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import attrs
import numpy as np
import numpy.typing as npt
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

FRAGILE_OPS = frozenset(
    {
        *("Softmax", "LogSoftmax", "Exp", "Log", "Pow", "Sqrt", "Reciprocal"),
        *("LayerNormalization", "RMSNormalization", "GroupNormalization", "InstanceNormalization"),
        *("BatchNormalization", "MeanVarianceNormalization", "LpNormalization", "LRN"),
        *("ReduceMean", "ReduceSum", "ReduceSumSquare", "ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceProd"),
        *("GlobalAveragePool", "CumSum", "Range"),
    }
)
"""Sums of many values, and functions that grow or fall steeply: 11 bits of fp16 are not enough for their insides."""

GLUE_OPS = frozenset({"Add", "Sub", "Mul", "Div", "Neg", "Abs", "Max", "Min", "Clip"})
"""Stay in fp32 where all that they take and give is, such as the epsilon under a root."""

HEAD_OPS = frozenset({"Gemm", "MatMul", "Conv"})
"""The first of them on the way back from the scores makes the logits."""

LARGEST_ACTIVATION = 16384.0
"""A quarter of what fp16 holds (65504): what is larger on real images stays in fp32, with room for other images."""
SMALLEST_CONSTANT = 2.0**-14
"""Least normal fp16 number: single constants below it, such as epsilons, would lose their digits."""
SMALL_WEIGHT = 4096
"""Elements; smaller weights of parts in fp32 stay in fp32, larger ones are stored in fp16 and cast."""

FIRST_INPUT_ONLY = frozenset({"Resize"})
"""Their other inputs are fp32 by definition."""


def to_half(proto: onnx.ModelProto, ranges: Mapping[str, float]) -> onnx.ModelProto:
    """A copy with fp16 weights; inputs and outputs stay float32.

    Args:
        proto: A model in fp32.
        ranges: Greatest absolute value that a tensor has had, by name; where fp16 has no room, its node stays in fp32.
    """
    half = onnx.ModelProto()
    half.CopyFrom(proto)
    graph = half.graph
    kinds = element_types(proto)
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer if _is_float(tensor)}
    kept = kept_in_full(list(graph.node), kinds, weights, ranges, graph.output[0].name)
    writer = _Writer(kinds, weights, {value.name for value in graph.input})
    for index, node in enumerate(graph.node):
        writer.add(node, full=index in kept)
    for value in graph.output:
        writer.give_back(value.name)
    others = [tensor for tensor in graph.initializer if tensor.name not in weights]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(writer.nodes)
    graph.initializer.extend([*others, *writer.initializers.values()])
    return half


def element_types(proto: onnx.ModelProto) -> dict[str, int]:
    """TensorProto.DataType of every tensor of the graph, by name."""
    graph = onnx.shape_inference.infer_shapes(proto).graph
    values = {
        value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input, *graph.output)
    }
    return values | {tensor.name: tensor.data_type for tensor in graph.initializer}


def kept_in_full(
    nodes: Sequence[NodeProto],
    kinds: Mapping[str, int],
    weights: Mapping[str, npt.NDArray[np.float32]],
    ranges: Mapping[str, float],
    output: str,
) -> set[int]:
    """Indices of the nodes that stay in fp32."""
    kept = {
        i
        for i, node in enumerate(nodes)
        if node.op_type in FRAGILE_OPS
        or any(attribute.type in (5, 10) for attribute in node.attribute)  # a graph of its own, as If and Loop have
        or any(ranges.get(name, 0.0) > LARGEST_ACTIVATION for name in (*node.input, *node.output))
        or any(_needs_full(weights[name]) for name in node.input if name in weights)
    }
    kept |= _head(nodes, output)
    kept |= _transposed_before_products(nodes, weights)
    makers = {name: i for i, node in enumerate(nodes) for name in node.output}
    users: dict[str, list[int]] = {}
    for i, node in enumerate(nodes):
        for name in node.input:
            users.setdefault(name, []).append(i)
    while True:
        glue = {
            i
            for i, node in enumerate(nodes)
            if i not in kept
            and node.op_type in GLUE_OPS
            and all(makers[name] in kept for name in node.input if name in makers and kinds.get(name) == 1)
            and all(user in kept for name in node.output for user in users.get(name, ()))
        }
        if not glue:
            return kept
        kept |= glue


def _head(nodes: Sequence[NodeProto], output: str) -> set[int]:
    """The nodes from the logits to the scores."""
    makers = {name: i for i, node in enumerate(nodes) for name in node.output}
    found: set[int] = set()
    pending = [output]
    while pending:
        index = makers.get(pending.pop())
        if index is None or index in found:
            continue
        found.add(index)
        if nodes[index].op_type not in HEAD_OPS:
            pending += nodes[index].input
    return found


def _transposed_before_products(nodes: Sequence[NodeProto], weights: Mapping[str, npt.NDArray[np.float32]]) -> set[int]:
    """Transposes that swap batch axes in front of a product with a weight, as batch-first attention of PyTorch has.

    ONNX Runtime 1.24 to 1.32, at least, fuses the two and then crashes on loading if both are in fp16.
    """
    taken = {
        name
        for node in nodes
        if node.op_type == "MatMul" and any(other in weights for other in node.input)
        for name in node.input
    }
    return {
        i
        for i, node in enumerate(nodes)
        if node.op_type == "Transpose" and node.output[0] in taken and _swaps_batch_axes(node)
    }


def _swaps_batch_axes(node: NodeProto) -> bool:
    order = next((list(attribute.ints) for attribute in node.attribute if attribute.name == "perm"), [])
    return bool(order) and order[-1] == len(order) - 1


def _needs_full(weight: npt.NDArray[np.float32]) -> bool:
    size = np.abs(weight[np.isfinite(weight)])
    if not size.size:
        return False
    single = weight.size == 1 and 0.0 < float(size[0]) < SMALLEST_CONSTANT
    return single or float(size.max()) > LARGEST_ACTIVATION


def _is_float(tensor: TensorProto) -> bool:
    return bool(tensor.data_type == TensorProto.FLOAT)


@attrs.define
class _Writer:
    """The nodes of the new graph, with casts where a tensor is wanted in the other type."""

    kinds: Mapping[str, int]
    weights: Mapping[str, npt.NDArray[np.float32]]
    full: set[str]
    """Tensors that are float32 in the new graph."""
    nodes: list[NodeProto] = attrs.field(factory=list)
    initializers: dict[str, TensorProto] = attrs.field(factory=dict)
    casts: set[str] = attrs.field(factory=set)

    def add(self, node: NodeProto, *, full: bool) -> None:
        new = NodeProto()
        new.CopyFrom(node)
        for position, name in enumerate(node.input):
            if self.kinds.get(name) != TensorProto.FLOAT:
                continue
            wanted_full = full or (node.op_type in FIRST_INPUT_ONLY and position > 0)
            new.input[position] = self._taken(name, full=wanted_full)
        if not full:
            _give_half(new)
        self.nodes.append(new)
        if full:
            self.full |= {name for name in node.output if self.kinds.get(name) == TensorProto.FLOAT}

    def give_back(self, name: str) -> None:
        """Make an output of the graph float32 if it is not."""
        if name in self.full or self.kinds.get(name) != TensorProto.FLOAT:
            return
        half = f"{name}_half"
        for node in self.nodes:
            for names in (node.input, node.output):
                for position, other in enumerate(names):
                    if other == name:
                        names[position] = half
        self.nodes.append(helper.make_node("Cast", [half], [name], to=TensorProto.FLOAT))

    def _taken(self, name: str, *, full: bool) -> str:
        """The name under which a node takes the tensor `name` in the type that it wants."""
        if name in self.weights:
            return self._weight(name, full=full)
        if (name in self.full) == full:
            return name
        return self._cast(name, name, full=full)

    def _weight(self, name: str, *, full: bool) -> str:
        weight = self.weights[name]
        if full and (weight.size <= SMALL_WEIGHT or _needs_full(weight)):
            self.initializers.setdefault(name, numpy_helper.from_array(weight, name))
            return name
        half = f"{name}_half"
        self.initializers.setdefault(half, numpy_helper.from_array(weight.astype(np.float16), half))
        return self._cast(half, name, full=True) if full else half

    def _cast(self, source: str, name: str, *, full: bool) -> str:
        cast = f"{name}_cast_to_{'fp32' if full else 'fp16'}"
        if cast not in self.casts:
            self.casts.add(cast)
            kind = TensorProto.FLOAT if full else TensorProto.FLOAT16
            self.nodes.append(helper.make_node("Cast", [source], [cast], name=f"{cast}_node", to=kind))
        return cast


def _give_half(node: NodeProto) -> None:
    """Where an attribute says that the output is float32, let it say float16."""
    for attribute in node.attribute:
        if attribute.name in ("to", "dtype") and attribute.i == TensorProto.FLOAT:
            attribute.i = TensorProto.FLOAT16
        elif attribute.name == "value" and attribute.t.data_type == TensorProto.FLOAT:
            value = numpy_helper.to_array(attribute.t).astype(np.float16)
            attribute.t.CopyFrom(numpy_helper.from_array(value, attribute.t.name))


def activation_ranges(proto: onnx.ModelProto, batches: Iterable[npt.NDArray[np.float32]]) -> dict[str, float]:
    """Greatest absolute value of every fp32 tensor between the nodes, by name, over batches of preprocessed images."""
    import onnxruntime

    shown = onnx.ModelProto()
    shown.CopyFrom(proto)
    there = {value.name for value in proto.graph.output}
    kinds = element_types(proto)
    names = [name for name in _outputs(proto.graph.node) if kinds.get(name) == TensorProto.FLOAT]
    shown.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names if name not in there
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Fused nodes would not show what is between them.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(shown.SerializeToString(), options, providers=["CPUExecutionProvider"])
    ranges = dict.fromkeys(names, 0.0)
    (taken,) = session.get_inputs()
    for batch in batches:
        for name, value in zip(names, session.run(names, {taken.name: batch}), strict=True):
            ranges[name] = max(ranges[name], float(np.abs(value).max(initial=0.0)))
    return ranges


def _outputs(nodes: Iterable[NodeProto]) -> Iterator[str]:
    return (name for node in nodes for name in node.output if name)
