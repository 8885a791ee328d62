"""Backbones of torchvision."""

from __future__ import annotations

import functools
from collections import OrderedDict
from typing import Any

import torch
import torchvision
from torch import nn
from torchvision.models import MNASNet, SqueezeNet, VisionTransformer
from torchvision.ops import StochasticDepth

from lt_models.backbone import Backbone, Features
from lt_models.errors import ModelConfigError, WeightsError
from lt_models.first_layer import adapt_first_convolution
from lt_models.image_sizes import Size, require_fit
from lt_models.names import NOT_PRETRAINED, ModelName, folded
from lt_models.spec import ClassifierSpec, ModelInput
from lt_models.torchvision_layouts import published_layout
from lt_models.torchvision_vit import class_token, class_token_and_mean, mean_of_patches, resize_positions
from lt_models.weights.fetch import fetch
from lt_models.weights.published import Published, published_torchvision
from lt_models.weights.reading import read_state

OTHER_TASKS = {
    "detection": "is a detection model of torchvision",
    "optical_flow": "is an optical flow model of torchvision",
    "quantization": "is a quantised model of torchvision, which cannot be trained",
    "segmentation": "is a segmentation model of torchvision",
    "video": "is a video model of torchvision",
}
"""Torchvision's modules for other tasks, and what to say of their models."""

WITHOUT_AUXILIARY_HEADS: dict[str, dict[str, Any]] = {
    "googlenet": {"aux_logits": False},
    "inception_v3": {"aux_logits": False},
}
TRANSFORMED_INPUT = frozenset({"googlenet", "inception_v3"})
"""Models whose published weights were made for another normalisation, to which torchvision converts inside of them."""

VIT_FEATURES: dict[str, Features] = {
    "auto": class_token,
    "cls": class_token,
    "avg": mean_of_patches,
    "cls+avg": class_token_and_mean,
}


def names() -> list[str]:
    """Torchvision's classification models."""
    found: list[str] = torchvision.models.list_models(module=torchvision.models)
    return found


def another_task(model: str) -> str:
    """What to say of a model that torchvision has for something else; empty when it has none of that name."""
    spelling = {folded(name): name for name in torchvision.models.list_models()}.get(folded(model))
    if spelling is None:
        return ""
    module = torchvision.models.get_model_builder(spelling).__module__.split(".")
    what = next((sentence for part, sentence in OTHER_TASKS.items() if part in module), "is no classifier of images")
    return f"{what}; lt-models builds classifiers of images"


def model_input(model: str) -> ModelInput:
    """What the transforms of the default weights say."""
    card = torchvision.models.get_model_weights(model).DEFAULT.transforms()
    crop, resize = card.crop_size[0], card.resize_size[0]
    return ModelInput(
        image_size=(crop, crop),
        mean=tuple(card.mean),
        std=tuple(card.std),
        interpolation=card.interpolation.value,
        resize_scale=max(1.0, resize / crop),
    )


def published(model: str) -> Published:
    """The file of the model's default weights."""
    return published_torchvision(torchvision.models.get_model_weights(model).DEFAULT)


def build(name: ModelName, spec: ClassifierSpec, *, pretrained: bool) -> Backbone:
    """A torchvision model whose last layer is taken off."""
    own = model_input(name.model).image_size
    runs = functools.partial(_runs, name.model, own, spec.backbone_args)
    require_fit(spec.model, spec.image_size, own, runs)
    arguments = dict(spec.backbone_args)
    if pretrained and name.model in TRANSFORMED_INPUT:
        arguments = {"transform_input": spec.num_channels == 3, "init_weights": False, **arguments}
    module = _create(name.model, own, spec.image_size, arguments)
    if pretrained:
        _load(module, name.model)
    if isinstance(module, VisionTransformer):
        resize_positions(module, spec.image_size)
    if spec.num_channels != 3:
        adapt_first_convolution(module, spec.num_channels)
    _set_drop_path(module, spec.drop_path_rate, spec.model)
    num_features = take_off_classifier(module)
    return _pooled(module, num_features, spec)


def take_off_classifier(module: nn.Module) -> int:
    """Remove the last layer and the dropout right before it, which is the head's affair.

    Returns:
        The number of features that the layer saw.
    """
    if isinstance(module, SqueezeNet):
        features = next(layer.in_channels for layer in module.classifier if isinstance(layer, nn.Conv2d))
        module.classifier = nn.Sequential(nn.AdaptiveAvgPool2d((1, 1)))
        return features
    path, last = [(path, layer) for path, layer in module.named_modules() if isinstance(layer, nn.Linear)][-1]
    parent_path, _, leaf = path.rpartition(".")
    parent = module.get_submodule(parent_path)
    siblings = list(parent.named_children())
    before = siblings[[child for child, _ in siblings].index(leaf) - 1]
    if isinstance(before[1], nn.Dropout):
        setattr(parent, before[0], nn.Identity())
    setattr(parent, leaf, nn.Identity())
    return last.in_features


def whole(module: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """A forward pass, where only an identity is left of the classifier."""
    features: torch.Tensor = module(images)
    return features


def _create(model: str, own: Size, size: Size, arguments: dict[str, Any]) -> nn.Module:
    """The model with random weights; a transformer has positions for the size of its card.

    Raises:
        ModelConfigError: Torchvision cannot build it with these arguments.
    """
    given = {**WITHOUT_AUXILIARY_HEADS.get(model, {})}
    if model.startswith("vit_"):
        given["image_size"] = own[0]
    if model.startswith("maxvit"):
        given["input_size"] = size
    if model in TRANSFORMED_INPUT:
        given["init_weights"] = True
    given.update(arguments)
    try:
        module: nn.Module = torchvision.models.get_model(model, weights=None, **given)
    # Builders check little themselves; a wrong argument shows as whatever it breaks.
    except Exception as error:
        raise ModelConfigError(f"torchvision cannot build {model} with {given}: {error}") from error
    return module


def _runs(model: str, own: Size, arguments: dict[str, Any], size: Size) -> bool:
    """Whether a model takes images of a size. Computes nothing: all tensors are meta tensors."""
    try:
        with torch.device("meta"), torch.no_grad():
            module = _create(model, own, size, arguments).eval()
            if isinstance(module, VisionTransformer):
                return all(side % module.patch_size == 0 for side in size)
            module(torch.empty(1, 3, *size))
    # What does not fit shows as an assertion, a wrong shape or an index, wherever it first hurts.
    except Exception:
        return False
    return True


def _load(module: nn.Module, model: str) -> None:
    """Give a module its published weights.

    Raises:
        WeightsError: They cannot be had or do not fit.
    """
    path = fetch(published(model))
    state = OrderedDict(published_layout(model, read_state(path)))
    if isinstance(module, MNASNet):
        # Without a version its own loading refuses any state; 2 is the present layout.
        state._metadata = {"": {"version": 2}}  # type: ignore[attr-defined]  # as Module.state_dict attaches it
    try:
        module.load_state_dict(state)
    except (RuntimeError, ValueError) as error:
        raise WeightsError(
            f"the weights of torchvision/{model} in {path} do not fit: {error}\nRemove that file, and it is fetched "
            f"anew; or train from random weights with torchvision/{model}{NOT_PRETRAINED}",
            path=path,
        ) from error


def _set_drop_path(module: nn.Module, rate: float, model: str) -> None:
    """Scale the model's own stochastic depth, which grows with depth, to end at `rate`."""
    layers = [layer for layer in module.modules() if isinstance(layer, StochasticDepth)]
    most = max((layer.p for layer in layers), default=0.0)
    if rate and not most:
        raise ModelConfigError(f"{model} has no stochastic depth; leave drop_path_rate at 0")
    for layer in layers:
        layer.p = rate * layer.p / most if most else 0.0


def _pooled(module: nn.Module, num_features: int, spec: ClassifierSpec) -> Backbone:
    if isinstance(module, VisionTransformer):
        width = 2 * num_features if spec.pooling == "cls+avg" else num_features
        return Backbone(module, width, VIT_FEATURES[spec.pooling])
    if "cls" in spec.pooling:
        raise ModelConfigError(f"{spec.model} has no class token: pooling may be auto or avg, not {spec.pooling!r}")
    pool = getattr(module, "avgpool", None)
    if spec.pooling == "avg" and getattr(pool, "output_size", 1) not in (1, (1, 1)):
        raise ModelConfigError(f"{spec.model} reads its features place by place: pooling may only be auto")
    return Backbone(module, num_features, whole)
