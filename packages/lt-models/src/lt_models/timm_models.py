"""Backbones of timm."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import timm
import torch
from torch import nn

from lt_models.backbone import Backbone
from lt_models.errors import ModelConfigError, WeightsError
from lt_models.image_sizes import Size, require_fit
from lt_models.names import NOT_PRETRAINED, ModelName
from lt_models.spec import ClassifierSpec, ModelInput
from lt_models.weights.fetch import fetch
from lt_models.weights.published import Published, published_timm, timm_overlay
from lt_models.weights.reading import read_state

RESIZE_MODES: dict[str, Literal["crop", "squash", "letterbox"]] = {"squash": "squash", "border": "letterbox"}
"""Ours by timm's `crop_mode`; all others crop the centre."""

DEFAULT_CARD: dict[str, Any] = {
    "input_size": (3, 224, 224),
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "interpolation": "bicubic",
    "crop_pct": 0.875,
    "num_classes": 1000,
}
"""What timm assumes where a card is silent."""


def names() -> list[str]:
    """Timm's architectures; a tag may follow, as in `resnet18.a1_in1k`."""
    found: list[str] = timm.list_models()
    return found


def tags(architecture: str) -> list[str]:
    """Tags of the published weights of an architecture, the default one first."""
    known = timm.list_pretrained(f"{architecture}.*")
    default = getattr(timm.get_pretrained_cfg(architecture, allow_unregistered=True), "tag", None)
    return sorted((name.partition(".")[2] for name in known if "." in name), key=lambda tag: (tag != default, tag))


def model_input(model: str) -> ModelInput:
    """What timm's card of the model says."""
    card = card_of(model)
    _, height, width = card.get("test_input_size") or card["input_size"]
    return ModelInput(
        image_size=(height, width),
        mean=tuple(card["mean"]),
        std=tuple(card["std"]),
        interpolation="bilinear" if card["interpolation"] == "bilinear" else "bicubic",
        resize_scale=1 / (card.get("test_crop_pct") or card["crop_pct"]),
        resize_mode=RESIZE_MODES.get(card.get("crop_mode", ""), "crop"),
    )


def published(model: str) -> Published | None:
    """The file of the model's weights, None where timm publishes none."""
    return published_timm(card_of(model))


def build(name: ModelName, spec: ClassifierSpec, *, pretrained: bool) -> Backbone:
    """A timm model without its classifier: pooling, norm and pre-logits layers are the model's own."""
    card = card_of(name.model)
    arguments = {**({"drop_path_rate": spec.drop_path_rate} if spec.drop_path_rate else {}), **spec.backbone_args}
    own = model_input(name.model).image_size

    def runs(size: Size) -> bool:
        try:
            with torch.device("meta"):
                module = _random(name.model, spec.num_channels, size, card, arguments)
        except ModelConfigError:
            return False
        return _runs(module, spec.num_channels, size, fixed=bool(card.get("fixed_input_size")))

    file = published_timm(card) if pretrained else None
    if pretrained and file is None:
        raise WeightsError(f"timm publishes no weights for {name.model}; use timm/{name.model}{NOT_PRETRAINED}")
    require_fit(spec.model, spec.image_size, own, runs)
    given = (name.model, spec.num_channels, spec.image_size, card, arguments)
    module = _with_weights(file, *given) if file else _random(*given)
    return without_classifier(module)


def card_of(model: str) -> dict[str, Any]:
    """Timm's card of a model, with what timm assumes where it is silent."""
    config: Any = timm.get_pretrained_cfg(model)
    card: dict[str, Any] = config.to_dict() if config else {}
    return {**DEFAULT_CARD, **{key: value for key, value in card.items() if value is not None}}


def without_classifier(module: nn.Module) -> Backbone:
    """Take off the last linear layer, and nothing before it."""
    untyped: Any = module
    if not hasattr(module, "get_classifier"):
        return Backbone(module, untyped.head_hidden_size, mean_of_tokens)
    classifier = untyped.get_classifier()
    parts = classifier if isinstance(classifier, tuple) else (classifier,)
    plain = all(isinstance(part, (nn.Linear, nn.Conv2d, nn.Identity, nn.ModuleList)) for part in parts)
    if plain and _reset(module, parts):
        return Backbone(module, untyped.head_hidden_size)
    # The classifier has a norm or a hidden layer of its own: all but its last layer belongs to the features.
    layers = [layer for part in parts for layer in part.modules() if isinstance(layer, nn.Linear)]
    last = [layer for layer in layers if layer.out_features == untyped.num_classes]
    for path in [path for path, layer in module.named_modules() if layer in last]:
        parent, _, leaf = path.rpartition(".")
        setattr(module.get_submodule(parent), leaf, nn.Identity())
    return Backbone(module, last[-1].in_features, whole)


def _reset(module: nn.Module, parts: tuple[nn.Module, ...]) -> bool:
    """Let timm take the classifier off; undone, and False, where it would take a norm or hidden layer with it."""
    untyped: Any = module
    children, classes = dict(module.named_children()), untyped.num_classes
    auxiliary = [child for child in children.values() if getattr(child, "out_features", None) == classes]
    removable = {id(tensor) for part in (*parts, *auxiliary) for tensor in part.parameters()}
    before = {id(tensor) for tensor in module.parameters()}
    untyped.reset_classifier(0)
    if before - {id(tensor) for tensor in module.parameters()} <= removable:
        return True
    for name, child in children.items():
        setattr(module, name, child)
    untyped.num_classes = classes
    return False


def whole(module: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """A forward pass, where only an identity is left of the classifier."""
    features: torch.Tensor = module(images)
    return features


def mean_of_tokens(module: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """The mean over tokens or places of a model that classifies nothing, such as an encoder for a language model."""
    tokens: torch.Tensor = module(images)
    places = {2: (), 3: (1,), 4: (2, 3)}[tokens.ndim]
    return tokens.mean(dim=places) if places else tokens


def _random(model: str, channels: int, size: Size, card: dict[str, Any], arguments: dict[str, Any]) -> nn.Module:
    """The model with random weights.

    Raises:
        ModelConfigError: Timm cannot build it with these arguments.
    """
    # One class, or none where the model has none: the classifier is taken off, but not the norm inside of it.
    classes = min(card["num_classes"], 1)
    try:
        module: nn.Module = timm.create_model(
            model, pretrained=False, num_classes=classes, in_chans=channels, **_size(card, size), **arguments
        )
    # Each of timm's modules has its own checks, and raises what it likes.
    except Exception as error:
        given = {"in_chans": channels, **_size(card, size), **arguments}
        raise ModelConfigError(f"timm cannot build {model} with {given}: {error}") from error
    return module


def _with_weights(
    file: Published, model: str, channels: int, size: Size, card: dict[str, Any], arguments: dict[str, Any]
) -> nn.Module:
    """The model with its published weights, all of them: timm is strict as long as the number of classes is its own.

    Raises:
        ModelConfigError: Timm cannot build it with these arguments, or has no first convolution for these channels.
        WeightsError: The weights cannot be had or do not fit.
    """
    path = fetch(file)
    try:
        module: nn.Module = timm.create_model(
            model,
            pretrained=True,
            pretrained_cfg_overlay=_overlay(card, path),
            num_classes=card["num_classes"],
            in_chans=channels,
            **_size(card, size),
            **arguments,
        )
    # Timm, safetensors and the unpickler each raise types of their own; none may end in random weights.
    except Exception as error:
        with torch.device("meta"):  # where the arguments are wrong, it is they that are named
            _random(model, channels, size, card, arguments)
        raise WeightsError(
            f"the weights of timm/{model} in {path} cannot be used: {error}\n"
            f"Remove that file, and it is fetched anew; or train from random weights with timm/{model}{NOT_PRETRAINED}",
            path=path,
        ) from error
    untyped: Any = module
    untyped.pretrained_cfg["state_dict"] = None  # else the card keeps a second copy of the weights
    _require_adapted(module, model, channels, card)
    return module


def _overlay(card: dict[str, Any], path: Path) -> dict[str, Any]:
    """What makes timm take its weights, in its own conversion, from a file that only JAX archives are left to it."""
    if path.suffix == ".npz":
        return timm_overlay(card, path)
    return {"state_dict": read_state(path), "custom_load": False}


def _require_adapted(module: nn.Module, model: str, channels: int, card: dict[str, Any]) -> None:
    """Timm leaves a first layer random, with a warning, where its rule for other channels does not apply."""
    own = card["input_size"][0]
    if channels == own or not card.get("first_conv"):
        return
    paths = [card["first_conv"]] if isinstance(card["first_conv"], str) else card["first_conv"]
    untyped: Any = module
    for weight in (untyped.get_submodule(path).weight for path in paths):
        if weight.ndim != 4 or (channels != 1 and weight.shape[1] != channels):
            raise ModelConfigError(
                f"the weights of timm/{model} cannot be adapted to {channels} channels: its first layer mixes places; "
                f"use {own} channels, or timm/{model}{NOT_PRETRAINED}"
            )


def _size(card: dict[str, Any], size: Size) -> dict[str, Any]:
    return {"img_size": size} if card.get("fixed_input_size") else {}


def _runs(module: nn.Module, channels: int, size: Size, fixed: bool) -> bool:
    """Whether a model takes images of a size without a remainder at its patches. Computes nothing on meta tensors."""
    stride = _patch(module) if fixed else (1, 1)
    if any(side % step for side, step in zip(size, stride, strict=True)):
        return False
    try:
        with torch.no_grad():
            module.eval()(torch.empty(1, channels, *size, device="meta"))
    # What does not fit shows as an assertion, a wrong shape or an index, wherever it first hurts.
    except Exception:
        return False
    return True


def _patch(module: Any) -> tuple[int, int]:
    """Height and width of the patches that a transformer cuts images into; (1, 1) where they overlap."""
    embedding: Any = getattr(module, "patch_embed", None)
    if callable(getattr(embedding, "feat_ratio", None)):
        patch = embedding.feat_ratio(as_scalar=False)
    else:
        patch = getattr(embedding, "patch_size", None)
    if patch is None:
        first = next((part for part in module.modules() if isinstance(part, nn.Conv2d)), None)
        cuts = first is not None and first.kernel_size == first.stride
        patch = first.stride if first is not None and cuts else 1
    height, width = (patch, patch) if isinstance(patch, int) else patch
    return height, width
