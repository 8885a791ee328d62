"""Writes the files of this folder: tiny models as Hugging Face transformers saves them, and what it computes with them.

python make.py        with transformers 5.23 or later installed
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import torch
import transformers as hf

HERE = Path(__file__).parent
VIT = {
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 4,
    "layer_norm_eps": 1e-6,
}
GATED = {"intermediate_size": 16, "num_register_tokens": 4, "layer_norm_eps": 1e-5}
STAGES = {"hidden_sizes": [4, 8, 8, 8], "depths": [1, 1, 2, 1], "layer_norm_eps": 1e-6}
RESNET = {"embedding_size": 64, "hidden_sizes": [8, 16, 16, 16], "depths": [1, 1, 1, 1]}


def class_token(output):
    return output.last_hidden_state[:, 0]


def pooled(output):
    return output.pooler_output.flatten(1)


def models():
    yield "vit", hf.ViTModel(hf.ViTConfig(**VIT, intermediate_size=32), add_pooling_layer=False), class_token
    yield "dinov2", hf.Dinov2Model(hf.Dinov2Config(**VIT)), pooled
    yield "dinov2_gated", hf.Dinov2Model(hf.Dinov2Config(**VIT, use_swiglu_ffn=True)), pooled
    with_registers = hf.Dinov2WithRegistersForImageClassification(hf.Dinov2WithRegistersConfig(**VIT))
    yield "dinov2_registers", with_registers, None
    yield "dinov3", hf.DINOv3ViTModel(hf.DINOv3ViTConfig(**{**VIT, **GATED})), pooled
    gated = hf.DINOv3ViTConfig(**{**VIT, **GATED}, use_gated_mlp=True, hidden_act="silu")
    yield "dinov3_gated", hf.DINOv3ViTModel(gated), pooled
    yield "dinov3_convnext", hf.DINOv3ConvNextModel(hf.DINOv3ConvNextConfig(**STAGES)), pooled
    yield "convnext", hf.ConvNextModel(hf.ConvNextConfig(**STAGES)), pooled
    yield "convnextv2", hf.ConvNextV2Model(hf.ConvNextV2Config(**STAGES)), pooled
    yield "resnet", hf.ResNetModel(hf.ResNetConfig(**RESNET)), pooled
    yield "resnet_basic", hf.ResNetModel(hf.ResNetConfig(**RESNET, layer_type="basic")), pooled


def main() -> None:
    torch.manual_seed(0)
    outputs = {}
    for name, model, features in models():
        size = 16 if hasattr(model.config, "patch_size") and "convnext" not in name else 32
        images = torch.arange(3 * size * size).reshape(1, 3, size, size).remainder(17) / 8 - 1
        statistics = [buffer for name, buffer in model.named_buffers() if ".running_" in name]
        for tensor in [*model.parameters(), *statistics]:
            tensor.data = torch.randn_like(tensor) * 0.3
            if tensor.ndim == 1:
                tensor.data = (tensor.data + 1.0).abs() + 0.1
        with torch.no_grad():
            if features is None:
                given = class_token(model.eval().dinov2_with_registers(pixel_values=images))
            else:
                given = features(model.eval()(pixel_values=images))
        outputs[name] = {"size": size, "features": given[0].tolist()}
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            shutil.copy(Path(folder) / "model.safetensors", HERE / f"{name}.safetensors")
    (HERE / "features.json").write_text(json.dumps(outputs, indent=1) + "\n")


main()
