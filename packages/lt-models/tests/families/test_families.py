"""One small model of every family that timm and torchvision list, against the library's own forward pass."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from torch import nn

from lt_models import build_classifier, describe_models, freeze, model_input, param_groups
from lt_models.spec import ClassifierSpec

CLASSES = 1000
PARAMETERS = {card.name: card.parameters or 0 for card in describe_models()}

ONE_BLOCK = {"deepseek_vit": {"depth": 1}, "gemma4_vit": {"depth": 1}, "qwen3_vit": {"depth": 1}}
"""Families whose smallest model has a hundred million parameters and more."""

SMALLER = {"deepseek_vit": (112, 112), "gemma4_vit": (96, 96), "qwen3_vit": (96, 96), "hieradet_sam2": (224, 224)}
"""Families whose smallest model sees images of 500 pixels and more, and takes others."""


def smallest(package: str, names: list[str]) -> str:
    return min(names, key=lambda name: PARAMETERS[f"{package}/{name}"])


TIMM = {
    family: smallest("timm", models) for family in timm.list_modules() if (models := timm.list_models(module=family))
}


def modules_of_torchvision() -> dict[str, list[str]]:
    families: dict[str, list[str]] = {}
    for name in torchvision.models.list_models(module=torchvision.models):
        families.setdefault(torchvision.models.get_model_builder(name).__module__.rpartition(".")[2], []).append(name)
    return families


TORCHVISION = {family: smallest("torchvision", models) for family, models in modules_of_torchvision().items()}


def last_layers(module: nn.Module) -> list[nn.Linear | nn.Conv2d]:
    """Those that give the logits: one, or two that a distilled model averages."""
    return [
        layer
        for layer in module.modules()
        if (isinstance(layer, nn.Linear) and layer.out_features == CLASSES)
        or (isinstance(layer, nn.Conv2d) and layer.out_channels == CLASSES)
    ]


def randomised(module: nn.Module) -> nn.Module:
    """With no zeros among its weights, behind which a forgotten layer would hide; statistics of norms not 0 and 1."""
    generator = torch.Generator().manual_seed(0)
    for tensor in module.state_dict().values():
        if tensor.is_floating_point() and tensor.numel():
            noise = torch.empty(tensor.shape).uniform_(0.9, 1.1, generator=generator)
            tensor.copy_(torch.where(tensor == 0, noise * 0.01, tensor * noise))
    return module.eval()


def folded(theirs: nn.Module, num_features: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight and bias of the one linear layer that does what the library's last layers do together."""
    layers = last_layers(theirs)
    widths = [layer.weight.shape[1] for layer in layers]
    biases = [torch.zeros(CLASSES) if layer.bias is None else layer.bias.detach() for layer in layers]
    weights = [layer.weight.detach().flatten(1) for layer in layers]
    if len(layers) > 1 and sum(widths) == num_features:
        # One for each scale, averaged; EfficientViM learns the shares.
        shares = theirs.weights.detach().softmax(-1) if hasattr(theirs, "weights") else [1 / len(layers)] * len(layers)
        return torch.cat([w * share for w, share in zip(weights, shares, strict=True)], dim=1), sum(
            b * share for b, share in zip(biases, shares, strict=True)
        )
    # One for the class and one for the distillation token, averaged as their features are: the same for this test.
    for layer in layers[1:]:
        layer.load_state_dict(layers[0].state_dict())
    return weights[0], biases[0]


def assert_same_logits(name: str, theirs: nn.Module, size: tuple[int, int], arguments: dict[str, int]) -> None:
    randomised(theirs)
    spec = ClassifierSpec(model=f"{name}-notpretrained", num_classes=CLASSES, image_size=size, backbone_args=arguments)
    ours = build_classifier(spec).eval()
    weight, bias = folded(theirs, ours.num_features)
    left, _ = ours.backbone.load_state_dict(theirs.state_dict(), strict=False)
    assert left == []
    ours.head.load_state_dict({"weight": weight, "bias": bias})
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    theirs.to(memory_format=ours.memory_format)  # whose kernels round otherwise
    with torch.no_grad():
        expected = theirs(images.contiguous(memory_format=ours.memory_format))
        assert expected.std() > 1e-4
        torch.testing.assert_close(ours(images), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("family", "model"), TIMM.items(), ids=str)
def test_with_the_head_copied_over_logits_equal_timms_own(family, model):
    torch.manual_seed(0)
    size = SMALLER.get(family, timm.get_pretrained_cfg(model).input_size[-2:])
    arguments = ONE_BLOCK.get(family, {})
    theirs = timm.create_model(model, num_classes=CLASSES, **arguments)
    if family == "volo":
        theirs.aux_head = None  # a second classifier of the tokens, for token labelling
    assert_same_logits(f"timm/{model}", theirs, size, arguments)


@pytest.mark.parametrize(("family", "model"), [item for item in TORCHVISION.items() if item[0] != "squeezenet"])
def test_with_the_head_copied_over_logits_equal_torchvisions_own(family, model):
    torch.manual_seed(0)
    size = torchvision.models.get_model_weights(model).DEFAULT.transforms().crop_size[0]
    theirs = torchvision.models.get_model(model, weights=None)
    if family in ("googlenet", "inception"):
        theirs.AuxLogits = theirs.aux1 = theirs.aux2 = None  # classifiers that only training has
    assert_same_logits(f"torchvision/{model}", theirs, (size, size), {})


def test_features_of_squeezenet_are_the_mean_of_what_its_last_convolution_sees():
    # Torchvision cuts off negative logits place by place before it averages them: no head on pooled features does.
    theirs = randomised(torchvision.models.squeezenet1_1(weights=None))
    spec = ClassifierSpec(model="torchvision/squeezenet1_1-notpretrained", num_classes=3, image_size=(224, 224))
    ours = build_classifier(spec).eval()
    ours.backbone.load_state_dict(theirs.state_dict(), strict=False)
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(ours.features(images), theirs.features(images).mean(dim=(2, 3)))


ALL = [f"timm/{model}" for model in TIMM.values()] + [f"torchvision/{model}" for model in TORCHVISION.values()]
NOT_ON_META = ("torchvision/regnet",)
"""Torchvision computes their widths with tensors."""


@pytest.mark.parametrize("name", ALL)
def test_layers_are_in_order_so_that_early_ones_learn_slower_and_freeze_first(name):
    size = model_input(name).image_size
    with torch.device("cpu" if name.startswith(NOT_ON_META) else "meta"):
        spec = ClassifierSpec(model=f"{name}-notpretrained", num_classes=3, image_size=size)
        classifier = build_classifier(spec)
    groups = param_groups(classifier, weight_decay=0.1, layer_decay=0.5)
    scale = {id(parameter): group["lr_scale"] for group in groups for parameter in group["params"]}
    freeze(classifier, None)
    assert sorted(scale) == sorted(id(parameter) for parameter in classifier.parameters() if parameter.requires_grad)
    assert len(scale) == sum(len(group["params"]) for group in groups)
    first_convolution = next(layer for layer in classifier.modules() if isinstance(layer, (nn.Conv2d, nn.Linear)))
    assert scale[id(first_convolution.weight)] == min(scale.values())
    assert min(scale.values()) <= 0.5**3
    assert all(scale[id(parameter)] == 1.0 for parameter in classifier.head.parameters())
    learning = set(freeze(classifier, 1))
    last = {name for name, parameter in classifier.named_parameters() if scale.get(id(parameter)) == 0.5}
    assert learning == last | {f"head.{name}" for name, _ in classifier.head.named_parameters()}
