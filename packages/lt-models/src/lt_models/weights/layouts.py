r"""How others name the same tensors: one explicit map for each layout, onto timm's names.

A map is a list of substitutions, applied to every key in their order, and one function for what is more than a name.
`\d+` stands for the number of a block or stage.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import attrs
import torch

State = dict[str, torch.Tensor]


def _unchanged(state: State) -> State:
    return state


@attrs.frozen
class Layout:
    """A layout of keys.

    Attributes:
        name: For reports.
        marks: Patterns; a file that has a key for each of them has this layout.
        dropped: Patterns of keys that serve training only and have no counterpart.
        renames: Pattern and replacement, onto timm's names.
        finish: What remains to be done with the renamed tensors.
    """

    name: str
    marks: tuple[str, ...]
    renames: tuple[tuple[str, str], ...]
    dropped: tuple[str, ...] = ()
    finish: Callable[[State], State] = _unchanged


def has_layout(layout: Layout, keys: Mapping[str, torch.Tensor]) -> bool:
    """Whether a file's keys are named as in `layout`."""
    return all(any(re.search(mark, key) for key in keys) for mark in layout.marks)


def to_timm(layout: Layout, state: Mapping[str, torch.Tensor]) -> State:
    """The tensors of a file under timm's names; keys that the map does not know keep theirs."""
    kept = {key: value for key, value in state.items() if not any(re.search(drop, key) for drop in layout.dropped)}
    return layout.finish({_renamed(layout, key): value for key, value in kept.items()})


def _renamed(layout: Layout, key: str) -> str:
    for pattern, replacement in layout.renames:
        key = re.sub(pattern, replacement, key)
    return key


def _fold_class_position(state: State) -> State:
    """Timm's models with registers have no position for the CLS token: it is added to the token once for all."""
    if "reg_token" in state and "cls_token" in state and "pos_embed" in state:
        position = state["pos_embed"]
        state = {**state, "cls_token": state["cls_token"] + position[:, :1], "pos_embed": position[:, 1:]}
    return state


def _split_qkv_bias(state: State) -> State:
    """Timm's Eva keeps the biases of queries and values; that of keys is held at zero by Meta's mask."""
    split = dict(state)
    for key in [key for key in state if key.endswith("attn.qkv.bias")]:
        query, _, value = split.pop(key).chunk(3)
        split[key.replace("qkv.bias", "q_bias")] = query
        split[key.replace("qkv.bias", "v_bias")] = value
    return split


def _fuse_qkv(state: State) -> State:
    """Separate projections, renamed to `attn.q`, `attn.k`, `attn.v`, as timm's one of three times the rows."""
    fused = dict(state)
    for key in [key for key in state if re.search(r"attn\.q\.(weight|bias)$", key)]:
        others = [key.replace("attn.q.", f"attn.{part}.") for part in "kv"]
        if all(other in state for other in others):
            fused[key.replace("attn.q.", "attn.qkv.")] = torch.cat([fused.pop(part) for part in (key, *others)])
    return fused


def _finish_dinov3(state: State) -> State:
    """Queries and values have biases, keys none; a gated MLP calls its second factor what a plain one calls fc1."""
    fused = {re.sub(r"attn\.([qv])\.bias$", r"attn.\1_bias", key): value for key, value in _fuse_qkv(state).items()}
    gated = {key.partition(".mlp.")[0] for key in fused if ".mlp.fc1_g." in key}
    return {
        key.replace(".mlp.fc1.", ".mlp.fc1_x.") if key.partition(".mlp.")[0] in gated else key: value
        for key, value in fused.items()
    }


def _flat_grn(state: State) -> State:
    """ConvNeXt V2's response normalisation, (1, 1, 1, C) there and (C,) in timm."""
    return {key: value.flatten() if ".grn." in key else value for key, value in state.items()}


META_DINOV2 = Layout(
    name="Meta's DINOv2",
    marks=(r"^pos_embed$", r"^mask_token$", r"^blocks\.0\..*ls1\.gamma$"),
    dropped=(r"^mask_token$",),
    renames=(
        # Models trained in chunks of blocks count both.
        (r"^blocks\.\d+\.(\d+)\.", r"blocks.\1."),
        (r"\.mlp\.w12\.", ".mlp.fc1."),
        (r"\.mlp\.w3\.", ".mlp.fc2."),
        (r"^register_tokens$", "reg_token"),
    ),
    finish=_fold_class_position,
)

META_DINOV3_VIT = Layout(
    name="Meta's DINOv3 (ViT)",
    marks=(r"^storage_tokens$", r"^blocks\.0\.attn\.qkv\.weight$"),
    dropped=(r"^mask_token$", r"\.bias_mask$", r"^rope_embed\.periods$", r"^local_cls_norm\."),
    renames=(
        (r"^storage_tokens$", "reg_token"),
        (r"\.ls([12])\.gamma$", r".gamma_\1"),
        (r"\.mlp\.w1\.", ".mlp.fc1_g."),
        (r"\.mlp\.w2\.", ".mlp.fc1_x."),
        (r"\.mlp\.w3\.", ".mlp.fc2."),
    ),
    finish=_split_qkv_bias,
)

META_CONVNEXT = Layout(
    name="Meta's ConvNeXt (also of DINOv3)",
    marks=(r"^downsample_layers\.0\.0\.weight$",),
    # DINOv3 keeps its one norm under a second name too.
    dropped=(r"^norms\.\d+\.",),
    renames=(
        (r"^downsample_layers\.0\.", "stem."),
        (r"^downsample_layers\.(\d+)\.", r"stages.\1.downsample."),
        (r"^stages\.(\d+)\.(\d+)\.", r"stages.\1.blocks.\2."),
        (r"\.dwconv\.", ".conv_dw."),
        (r"\.pwconv([12])\.", r".mlp.fc\1."),
        (r"\.grn\.gamma$", ".mlp.grn.weight"),
        (r"\.grn\.beta$", ".mlp.grn.bias"),
        (r"^head\.", "head.fc."),
        (r"^norm\.", "head.norm."),
    ),
    finish=_flat_grn,
)

TORCHVISION_VIT = Layout(
    name="torchvision's ViT",
    marks=(r"^conv_proj\.weight$", r"^encoder\.layers\.encoder_layer_0\."),
    renames=(
        (r"^class_token$", "cls_token"),
        (r"^encoder\.pos_embedding$", "pos_embed"),
        (r"^conv_proj\.", "patch_embed.proj."),
        (r"^encoder\.layers\.encoder_layer_(\d+)\.", r"blocks.\1."),
        (r"\.ln_([12])\.", r".norm\1."),
        (r"\.self_attention\.in_proj_(weight|bias)$", r".attn.qkv.\1"),
        (r"\.self_attention\.out_proj\.", ".attn.proj."),
        (r"\.mlp\.(?:linear_1|0)\.", ".mlp.fc1."),
        (r"\.mlp\.(?:linear_2|3)\.", ".mlp.fc2."),
        (r"^encoder\.ln\.", "norm."),
        (r"^heads\.head\.", "head."),
    ),
)

TORCHVISION_CONVNEXT = Layout(
    name="torchvision's ConvNeXt",
    marks=(r"^features\.0\.0\.weight$", r"^features\.1\.0\.layer_scale$"),
    renames=(
        (r"^features\.0\.", "stem."),
        *((rf"^features\.{2 * stage + 1}\.", f"stages.{stage}.blocks.") for stage in range(4)),
        *((rf"^features\.{2 * stage}\.", f"stages.{stage}.downsample.") for stage in range(1, 4)),
        (r"\.block\.0\.", ".conv_dw."),
        (r"\.block\.2\.", ".norm."),
        (r"\.block\.3\.", ".mlp.fc1."),
        (r"\.block\.5\.", ".mlp.fc2."),
        (r"\.layer_scale$", ".gamma"),
        (r"^classifier\.0\.", "head.norm."),
        (r"^classifier\.2\.", "head.fc."),
    ),
)

TORCHVISION_DENSENET = Layout(
    name="torchvision's DenseNet as first published",
    marks=(r"\.denselayer1\.norm\.1\.",),
    renames=((r"(\.denselayer\d+\.(?:norm|conv))\.(\d\.)", r"\1\2"),),
)

TRANSFORMERS_VIT = Layout(
    name="Hugging Face transformers' ViT or DINOv2",
    marks=(r"embeddings\.patch_embeddings\.projection\.weight$", r"encoder\.layer\.0\.attention\.attention\.query\."),
    dropped=(r"embeddings\.mask_token$", r"(^|\.)pooler\."),
    renames=(
        (r"^(?:vit|deit|dinov2|dinov2_with_registers)\.", ""),
        (r"^embeddings\.cls_token$", "cls_token"),
        (r"^embeddings\.register_tokens$", "reg_token"),
        (r"^embeddings\.position_embeddings$", "pos_embed"),
        (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
        (r"^encoder\.layer\.(\d+)\.", r"blocks.\1."),
        (r"\.attention\.attention\.([qkv])(?:uery|ey|alue)\.", r".attn.\1."),
        (r"\.attention\.output\.dense\.", ".attn.proj."),
        (r"\.intermediate\.dense\.", ".mlp.fc1."),
        (r"\.output\.dense\.", ".mlp.fc2."),
        (r"\.layernorm_before\.", ".norm1."),
        (r"\.layernorm_after\.", ".norm2."),
        (r"\.layer_scale([12])\.lambda1$", r".ls\1.gamma"),
        (r"\.mlp\.weights_in\.", ".mlp.fc1."),
        (r"\.mlp\.weights_out\.", ".mlp.fc2."),
        (r"^layernorm\.", "norm."),
        (r"^classifier\.", "head."),
    ),
    finish=lambda state: _fold_class_position(_fuse_qkv(state)),
)

TRANSFORMERS_DINOV3_VIT = Layout(
    name="Hugging Face transformers' DINOv3 (ViT)",
    marks=(r"embeddings\.register_tokens$", r"layer\.0\.attention\.q_proj\.weight$"),
    dropped=(r"embeddings\.mask_token$",),
    renames=(
        (r"^(?:dinov3_vit\.)?(?:model\.)?", ""),
        (r"^embeddings\.cls_token$", "cls_token"),
        (r"^embeddings\.register_tokens$", "reg_token"),
        (r"^embeddings\.patch_embeddings\.", "patch_embed.proj."),
        (r"^layer\.(\d+)\.", r"blocks.\1."),
        (r"\.attention\.([qkv])_proj\.", r".attn.\1."),
        (r"\.attention\.o_proj\.", ".attn.proj."),
        (r"\.mlp\.gate_proj\.", ".mlp.fc1_g."),
        (r"\.mlp\.up_proj\.", ".mlp.fc1."),
        (r"\.mlp\.down_proj\.", ".mlp.fc2."),
        (r"\.layer_scale([12])\.lambda1$", r".gamma_\1"),
    ),
    finish=_finish_dinov3,
)

TRANSFORMERS_CONVNEXT = Layout(
    name="Hugging Face transformers' ConvNeXt",
    marks=(r"embeddings\.patch_embeddings\.weight$", r"encoder\.stages\.0\.layers\.0\.dwconv\.weight$"),
    renames=(
        (r"^convnext(?:v2)?\.", ""),
        (r"^embeddings\.patch_embeddings\.", "stem.0."),
        (r"^embeddings\.layernorm\.", "stem.1."),
        (r"^encoder\.stages\.(\d+)\.layers\.", r"stages.\1.blocks."),
        (r"^encoder\.stages\.(\d+)\.downsampling_layer\.", r"stages.\1.downsample."),
        (r"\.dwconv\.", ".conv_dw."),
        (r"\.layernorm\.", ".norm."),
        (r"\.pwconv([12])\.", r".mlp.fc\1."),
        (r"\.layer_scale_parameter$", ".gamma"),
        (r"\.grn\.", ".mlp.grn."),
        (r"^layernorm\.", "head.norm."),
        (r"^classifier\.", "head.fc."),
    ),
    finish=_flat_grn,
)

TRANSFORMERS_DINOV3_CONVNEXT = Layout(
    name="Hugging Face transformers' DINOv3 (ConvNeXt)",
    marks=(r"stages\.0\.downsample_layers\.0\.weight$", r"stages\.0\.layers\.0\.depthwise_conv\.weight$"),
    renames=(
        (r"^(?:dinov3_convnext\.)?(?:model\.)?", ""),
        (r"^stages\.0\.downsample_layers\.", "stem."),
        (r"^stages\.(\d+)\.downsample_layers\.", r"stages.\1.downsample."),
        (r"^stages\.(\d+)\.layers\.", r"stages.\1.blocks."),
        (r"\.depthwise_conv\.", ".conv_dw."),
        (r"\.layer_norm\.", ".norm."),
        (r"\.pointwise_conv([12])\.", r".mlp.fc\1."),
        (r"^layer_norm\.", "head.norm."),
    ),
)

TRANSFORMERS_RESNET = Layout(
    name="Hugging Face transformers' ResNet",
    marks=(r"embedder\.embedder\.convolution\.weight$", r"encoder\.stages\.0\.layers\.0\.layer\.0\.convolution\."),
    renames=(
        (r"^resnet\.", ""),
        (r"^embedder\.embedder\.convolution\.", "conv1."),
        (r"^embedder\.embedder\.normalization\.", "bn1."),
        *((rf"^encoder\.stages\.{stage}\.layers\.", f"layer{stage + 1}.") for stage in range(4)),
        *((rf"\.layer\.{conv}\.convolution\.", f".conv{conv + 1}.") for conv in range(3)),
        *((rf"\.layer\.{conv}\.normalization\.", f".bn{conv + 1}.") for conv in range(3)),
        (r"\.shortcut\.convolution\.", ".downsample.0."),
        (r"\.shortcut\.normalization\.", ".downsample.1."),
        (r"^classifier\.1\.", "fc."),
    ),
)

LAYOUTS = (
    META_DINOV2,
    META_DINOV3_VIT,
    META_CONVNEXT,
    TORCHVISION_VIT,
    TORCHVISION_CONVNEXT,
    TORCHVISION_DENSENET,
    TRANSFORMERS_VIT,
    TRANSFORMERS_DINOV3_VIT,
    TRANSFORMERS_CONVNEXT,
    TRANSFORMERS_DINOV3_CONVNEXT,
    TRANSFORMERS_RESNET,
)
"""Every layout that needs a map. Torchvision's ResNets are named as timm's are; our own files as the backbone is."""
