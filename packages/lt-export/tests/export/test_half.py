from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from networks import Attentive, convolutional, task_spec
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator
from torch import nn

import lt_export
from lt_data import load_inputs
from lt_export import VerificationError, export_onnx
from lt_export.probes import probe_images

NETWORKS = {"convolutional": convolutional, "transformer": Attentive}


def element_types(model: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input, *graph.output)}
    return types | {tensor.name: tensor.data_type for tensor in graph.initializer}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
@pytest.mark.parametrize("simplify", [True, False])
def test_scores_in_fp16_are_those_of_pytorch_in_fp32_to_half_a_hundredth(tmp_path, network, task, simplify):
    spec = task_spec(task)
    report = export_onnx(NETWORKS[network](), spec, tmp_path / "m.onnx", precision="fp16", simplify=simplify)
    assert report.verification is not None
    assert 0.0 < report.verification.largest_difference < 5e-3
    # ONNX Runtime has no fp16 arithmetic on most processors and computes in fp32; the reference does what is written.
    inputs = load_inputs(probe_images(spec.preprocessing, 3), spec.preprocessing)
    (scores,) = ReferenceEvaluator(str(tmp_path / "m.onnx")).run(None, {"images": inputs})
    expected = lt_export.load(tmp_path / "m.onnx").description.reference_scores
    np.testing.assert_allclose(scores, expected, atol=5e-3)


@pytest.mark.parametrize("network", NETWORKS)
def test_weights_are_fp16_and_fragile_parts_inputs_and_outputs_fp32(tmp_path, network):
    export_onnx(NETWORKS[network](), task_spec(), tmp_path / "m.onnx", precision="fp16")
    model = onnx.load(tmp_path / "m.onnx")
    onnx.checker.check_model(model, full_check=True)
    types = element_types(model)
    assert types["images"] == types["scores"] == TensorProto.FLOAT
    large = [tensor for tensor in model.graph.initializer if np.prod(tensor.dims) > 100]
    assert large
    assert {tensor.data_type for tensor in large} <= {TensorProto.FLOAT16, TensorProto.INT64}
    fragile = [n for n in model.graph.node if n.op_type in ("Softmax", "LayerNormalization", "ReduceMean")]
    assert fragile
    assert {types[name] for node in fragile for name in node.output} == {TensorProto.FLOAT}
    products = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    *inner, head = products
    assert {types[node.output[0]] for node in inner} == {TensorProto.FLOAT16}
    assert types[head.output[0]] == TensorProto.FLOAT
    description = lt_export.load(tmp_path / "m.onnx").description
    assert description.precision == "fp16"


class Scaled(nn.Module):
    """Activations in the middle go up to `factor` times what they were, and come down again."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.inner, self.factor = convolutional(), factor

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.inner[:3](images)
        grown = torch.relu(features * self.factor)
        logits: torch.Tensor = self.inner[4:](grown * 0.5 / self.factor)
        return logits


def test_activations_that_fp16_cannot_hold_stay_in_fp32(tmp_path):
    spec = task_spec()
    report = export_onnx(Scaled(1e6), spec, tmp_path / "m.onnx", precision="fp16")
    assert report.verification is not None
    inputs = load_inputs(probe_images(spec.preprocessing, 3), spec.preprocessing)
    (scores,) = ReferenceEvaluator(str(tmp_path / "m.onnx")).run(None, {"images": inputs})
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores, lt_export.load(tmp_path / "m.onnx").description.reference_scores, atol=5e-3)


def test_a_weight_that_fp16_cannot_hold_stays_in_fp32(tmp_path):
    spec, inner = task_spec(), convolutional().eval()
    wide, narrow = nn.Linear(8, 1024), nn.Linear(1024, 3)
    with torch.no_grad():
        wide.weight *= 1e6
        narrow.weight *= 1e-6
    export_onnx(nn.Sequential(*inner[:-1], wide, narrow), spec, tmp_path / "m.onnx", precision="fp16")
    weights = [numpy_helper.to_array(tensor) for tensor in onnx.load(tmp_path / "m.onnx").graph.initializer]
    assert all(np.isfinite(weight).all() for weight in weights)
    (large,) = [weight for weight in weights if weight.size == 8 * 1024]
    assert large.dtype == np.float32


def test_scores_that_fp16_cannot_keep_are_refused(tmp_path):
    network, spec = convolutional().eval(), task_spec()
    with torch.no_grad():
        inputs = torch.from_numpy(load_inputs(probe_images(spec.preprocessing, 1), spec.preprocessing))
        features = network[:-1](inputs)[0]
        # A logit that is a small difference of large numbers: it hangs on the twelfth binary digit of a feature.
        network[-1].weight.zero_()
        network[-1].weight[0] = 16000.0 * (features.flip(0) / features.norm()) * torch.tensor([1.0, -1.0] * 4)
    with pytest.raises(VerificationError, match="answers differently.*5e-03"):
        export_onnx(network, task_spec(), tmp_path / "m.onnx", precision="fp16")
    assert list(tmp_path.iterdir()) == []
