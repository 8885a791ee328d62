"""DINOv3: timm's vision transformers and ConvNeXts with Meta's weights, and two small ones of the same construction.

Features are the CLS token after the final norm, for ConvNeXt the normed mean over the image.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import attrs
from timm.layers import LayerNorm  # type: ignore[attr-defined]  # not re-exported by name
from timm.models.eva import Eva

from lt_models.backbone import Backbone
from lt_models.dinov2_models import INPUT, create, divides, spec_arguments
from lt_models.errors import ModelConfigError
from lt_models.image_sizes import Size, require_fit
from lt_models.names import ModelName
from lt_models.spec import ClassifierSpec, ModelInput
from lt_models.weights.cache import cache_folder, is_cached
from lt_models.weights.fetch import fetch
from lt_models.weights.local import load_published
from lt_models.weights.published import Published, published_on_hub

PATCH = 16
LICENCE = "DINOv3 License (https://ai.meta.com/resources/models-and-libraries/dinov3-license)"
REQUEST = "https://ai.meta.com/resources/models-and-libraries/dinov3-downloads"

TINY: dict[str, Any] = {
    "patch_size": PATCH,
    "embed_dim": 192,
    "depth": 12,
    "num_heads": 3,
    "qkv_bias": True,
    "init_values": 1e-5,
    "rope_type": "dinov3",
    "rope_temperature": 100.0,
    "rope_rotate_half": True,
    "use_rot_pos_emb": True,
    "use_abs_pos_emb": False,
    "num_reg_tokens": 4,
    "use_fc_norm": False,
    "norm_layer": partial(LayerNorm, eps=1e-5),
    "dynamic_img_size": True,
}
"""Arguments of timm's Eva for the models that timm does not list, as those of its DINOv3 models."""


@attrs.frozen
class Model:
    """Where a model's architecture and weights come from.

    Attributes:
        file: Of Meta's weights, as Meta sends it.
        architecture: Timm's name; None is built from `TINY`.
        repository: Of the same weights on the hub; None where they are not one file there.
        mlp_ratio: Of a model built from `TINY`.
        satellite: Trained on satellite images, which have a mean and standard deviation of their own.
    """

    file: str
    architecture: str | None = None
    repository: str | None = None
    mlp_ratio: float = 4.0
    satellite: bool = False


def _vit(name: str, architecture: str, data: str, sha256: str, *, on_hub: bool = True) -> Model:
    return Model(
        file=f"dinov3_{name}_pretrain_{data}-{sha256}.pth",
        architecture=architecture,
        repository=f"facebook/dinov3-{name}-pretrain-{data}" if on_hub else None,
        satellite=data == "sat493m",
    )


def _convnext(size: str, sha256: str) -> Model:
    return Model(
        file=f"dinov3_convnext_{size}_pretrain_lvd1689m-{sha256}.pth",
        architecture=f"convnext_{size}",
        repository=f"facebook/dinov3-convnext-{size}-pretrain-lvd1689m",
    )


# `qkvb`: with the biases that Meta's files have. Of the largest model the hub has several files, not one.
MODELS = {
    "vitt16": Model("dinov3_vitt16_distillationv2.pth"),
    "vitt16plus": Model("dinov3_vitt16plus_distillationv2.pth", mlp_ratio=6.0),
    "vits16": _vit("vits16", "vit_small_patch16_dinov3_qkvb", "lvd1689m", "08c60483"),
    "vits16plus": _vit("vits16plus", "vit_small_plus_patch16_dinov3_qkvb", "lvd1689m", "4057cbaa"),
    "vitb16": _vit("vitb16", "vit_base_patch16_dinov3_qkvb", "lvd1689m", "73cec8be"),
    "vitl16": _vit("vitl16", "vit_large_patch16_dinov3_qkvb", "lvd1689m", "8aa4cbdd"),
    "vitl16-sat493m": _vit("vitl16", "vit_large_patch16_dinov3_qkvb", "sat493m", "eadcf0ff"),
    "vith16plus": _vit("vith16plus", "vit_huge_plus_patch16_dinov3_qkvb", "lvd1689m", "7c1da9a5"),
    "vit7b16": _vit("vit7b16", "vit_7b_patch16_dinov3", "lvd1689m", "a955f4ea", on_hub=False),
    "vit7b16-sat493m": _vit("vit7b16", "vit_7b_patch16_dinov3", "sat493m", "a6675841", on_hub=False),
    "convnext-tiny": _convnext("tiny", "21b726bb"),
    "convnext-small": _convnext("small", "296db49d"),
    "convnext-base": _convnext("base", "801f2ba9"),
    "convnext-large": _convnext("large", "61fa432d"),
}

SATELLITE_INPUT = attrs.evolve(INPUT, mean=(0.430, 0.411, 0.296), std=(0.213, 0.156, 0.143))


def names() -> list[str]:
    """Models, without the package."""
    return list(MODELS)


def model_input(model: str) -> ModelInput:
    """224 px for all, and any other size (a multiple of 16 for vision transformers); satellite models' own colours."""
    return SATELLITE_INPUT if MODELS[model].satellite else INPUT


def published(model: str) -> Published:
    """The file of a model: Meta's if it is on this machine already, else the hub's, which one can fetch with a token.

    Neither is free to fetch: one asks Meta for its file, or accepts the licence on the hub.
    """
    known, name = MODELS[model], f"dinov3/{model}"
    by_hand = cache_folder() / known.file
    if known.architecture is None:
        hint = (
            f"Meta publishes no {model}; Lightly does ({known.file}). A file that you have goes in as backbone_weights"
        )
        return Published(known.file, (), None, LICENCE, model=name, hint=hint)
    hint = f"Ask Meta for {known.file} at {REQUEST}, and put it at {by_hand}, or give it as backbone_weights"
    sha256 = known.file.rpartition("-")[2].removesuffix(".pth")
    metas = Published(known.file, (), sha256, LICENCE, model=name, hint=hint)
    if known.repository is None or is_cached(metas):
        return metas
    return published_on_hub(known.repository, licence=LICENCE, model=name, hint=hint)


def build(name: ModelName, spec: ClassifierSpec, *, pretrained: bool) -> Backbone:
    """The backbone, pooled by its CLS token, or by the mean where it has none.

    Raises:
        ModelConfigError: The image size does not fit, or timm does not take the spec's arguments.
        WeightsError: The weights cannot be had.
    """
    model = name.model
    require_fit(spec.model, spec.image_size, INPUT.image_size, lambda size: _takes(model, size))
    # Before the model, which may take minutes to build: what is missing is told at once.
    file = fetch(published(model)) if pretrained else None
    module = _create(model, spec)
    if file is not None:
        load_published(module, file, f"dinov3/{model}")
    return Backbone(module, module.num_features)


def _takes(model: str, size: Size) -> bool:
    # ConvNeXt halves its input five times.
    return min(size) >= 32 if model.startswith("convnext") else divides(size, PATCH)


def _create(model: str, spec: ClassifierSpec) -> Any:
    known = MODELS[model]
    if model.startswith("convnext"):
        # Timm's pooling by mean and the norm after it are Meta's.
        return create(str(known.architecture), spec)
    arguments: dict[str, Any] = {"img_size": spec.image_size, "global_pool": "token"}
    if known.architecture is not None:
        return create(known.architecture, spec, **arguments)
    given = {**TINY, "mlp_ratio": known.mlp_ratio, **arguments, **spec_arguments(spec)}
    try:
        return Eva(num_classes=0, **given)
    except (TypeError, ValueError, AssertionError) as error:
        raise ModelConfigError(f"{spec.model} cannot be built with {spec.backbone_args}: {error}") from error
