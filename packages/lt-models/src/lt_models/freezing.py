"""Training only a part of a classifier."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from lt_models.classifier import Classifier
from lt_models.errors import ModelConfigError
from lt_models.layers import layers


def freeze(classifier: Classifier, what: str | int | None) -> list[str]:
    """Let only a part of a classifier learn; the head always does.

    Args:
        classifier: Is changed: frozen parameters need no gradient, all others do.
        what: None freezes nothing, `"backbone"` all of it, a number N ≥ 0 all but its last N blocks, and `"norms"` all
            but its normalisation layers.

    Returns:
        Names of the parameters that are trained, in the classifier's order.

    Raises:
        ModelConfigError: `what` is none of these, or the backbone has fewer blocks.
    """
    kept = _kept(classifier.backbone, what) - classifier.fixed
    for name, parameter in classifier.backbone.named_parameters():
        parameter.requires_grad_(name in kept)
    classifier.head.requires_grad_(True)
    return [name for name, parameter in classifier.named_parameters() if parameter.requires_grad]


def set_train_mode(classifier: nn.Module) -> None:
    """`train()`, but what is frozen stays as it is in evaluation.

    Batch normalisation of a frozen part keeps its statistics, and no dropout or stochastic depth disturbs it.
    """
    classifier.train()
    _rest_frozen(classifier)


def _rest_frozen(module: nn.Module) -> None:
    parameters = [parameter.requires_grad for parameter in module.parameters()]
    if all(parameters):
        return
    if not any(parameters):
        module.eval()
        return
    for child in module.children():
        _rest_frozen(child)


def _kept(backbone: nn.Module, what: str | int | None) -> frozenset[str]:
    """Names of the backbone's parameters that go on learning."""
    if what is None:
        return frozenset(name for name, _ in backbone.named_parameters())
    if what == "backbone":
        return frozenset()
    if what == "norms":
        return frozenset(_norm_parameters(backbone))
    if isinstance(what, int) and not isinstance(what, bool):
        blocks = layers(backbone)[1:]
        if not 0 <= what <= len(blocks):
            raise ModelConfigError(f"cannot let {what} blocks learn: the backbone has {len(blocks)} after its stem")
        return frozenset(name for block in blocks[len(blocks) - what :] for name in block)
    raise ModelConfigError(f"what is frozen must be None, 'backbone', 'norms' or a number of blocks, got {what!r}")


def _norm_parameters(backbone: nn.Module) -> Iterable[str]:
    """Parameters of modules that are norms by name, as timm and torchvision write many of their own."""
    for path, module in backbone.named_modules():
        if "norm" in type(module).__name__.lower():
            for name, parameter in module.named_parameters(prefix=path, recurse=False):
                if parameter.ndim <= 1:
                    yield name
