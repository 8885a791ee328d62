"""DINOv2: timm's vision transformers with Meta's weights; features are the CLS token after the final norm.

Bare names are the models with four register tokens, as users of these names expect; `-noreg` are those without.
"""

from __future__ import annotations

from typing import Any

import timm

from lt_models.backbone import Backbone
from lt_models.errors import ModelConfigError
from lt_models.image_sizes import Size, require_fit
from lt_models.names import ModelName
from lt_models.spec import ClassifierSpec, ModelInput
from lt_models.weights.fetch import fetch
from lt_models.weights.local import load_published
from lt_models.weights.published import Published

PATCH = 14

ARCHITECTURES = {
    "vits14": "vit_small_patch14_reg4_dinov2",
    "vitb14": "vit_base_patch14_reg4_dinov2",
    "vitl14": "vit_large_patch14_reg4_dinov2",
    "vitg14": "vit_giant_patch14_reg4_dinov2",
    "vits14-noreg": "vit_small_patch14_dinov2",
    "vitb14-noreg": "vit_base_patch14_dinov2",
    "vitl14-noreg": "vit_large_patch14_dinov2",
    "vitg14-noreg": "vit_giant_patch14_dinov2",
}
"""Timm's name of each model."""

INPUT = ModelInput(
    image_size=(224, 224),
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    interpolation="bicubic",
    resize_scale=256 / 224,
)
"""224 px, at which Meta trained for all but the last steps and evaluates; the weights' own grid is that of 518 px."""


def names() -> list[str]:
    """Models, without the package."""
    return list(ARCHITECTURES)


def model_input(model: str) -> ModelInput:
    """The same for all; any other multiple of 14 pixels is possible."""
    return INPUT


def published(model: str) -> Published:
    """Meta's file of a model."""
    size, _, noreg = model.partition("-")
    file = f"dinov2_{size}_pretrain.pth" if noreg else f"dinov2_{size}_reg4_pretrain.pth"
    url = f"https://dl.fbaipublicfiles.com/dinov2/dinov2_{size}/{file}"
    return Published(file, (url,), None, "Apache-2.0", model=f"dinov2/{model}")


def build(name: ModelName, spec: ClassifierSpec, *, pretrained: bool) -> Backbone:
    """The backbone, pooled by its CLS token.

    Raises:
        ModelConfigError: The image size is no multiple of the patch, or timm does not take the spec's arguments.
        WeightsError: The weights cannot be had.
    """
    require_fit(spec.model, spec.image_size, INPUT.image_size, lambda size: divides(size, PATCH))
    # Before the model, which may take minutes to build: what is missing is told at once.
    file = fetch(published(name.model)) if pretrained else None
    module = create(ARCHITECTURES[name.model], spec, img_size=spec.image_size, global_pool="token")
    if file is not None:
        load_published(module, file, f"dinov2/{name.model}")
    return Backbone(module, module.num_features)


def create(architecture: str, spec: ClassifierSpec, **arguments: Any) -> Any:
    """A timm model without classifier, with random weights, for the channels and further arguments of a spec.

    Raises:
        ModelConfigError: Timm does not take them.
    """
    given = {**arguments, **spec_arguments(spec)}
    try:
        return timm.create_model(architecture, num_classes=0, **given)
    # Timm's modules have their own checks, and raise what they like.
    except Exception as error:
        raise ModelConfigError(f"{spec.model} cannot be built with {given}: {error}") from error


def spec_arguments(spec: ClassifierSpec) -> dict[str, Any]:
    """What a spec says to the constructor of a timm module; silent about what is left at its default."""
    drop_path = {"drop_path_rate": spec.drop_path_rate} if spec.drop_path_rate else {}
    return {"in_chans": spec.num_channels, **drop_path, **spec.backbone_args}


def divides(size: Size, patch: int) -> bool:
    """Whether images of a size divide into patches."""
    return all(side >= patch and side % patch == 0 for side in size)
