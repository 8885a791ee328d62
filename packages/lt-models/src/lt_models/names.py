"""What a model's name means: `<package>/<name>[-notpretrained]`."""

from __future__ import annotations

import attrs

from lt_models.errors import UnknownModelError

PACKAGES = ("dinov2", "dinov3", "timm", "torchvision")
"""Where backbones come from."""

NOT_PRETRAINED = "-notpretrained"


@attrs.frozen
class ModelName:
    """A parsed model name.

    Attributes:
        package: One of `PACKAGES`.
        model: The package's own name of the model.
        pretrained: Whether it starts from published weights.
    """

    package: str
    model: str
    pretrained: bool

    def __str__(self) -> str:
        return f"{self.package}/{self.model}" + ("" if self.pretrained else NOT_PRETRAINED)


def folded(name: str) -> str:
    """The form in which names are compared: case does not matter, and `_` and `-` are the same."""
    return name.lower().replace("_", "-")


def parse_name(name: str) -> ModelName:
    """Split a model name; whether the package has such a model is not looked up.

    Raises:
        UnknownModelError: The name is not of the form `<package>/<name>`, or the package is not known.
    """
    package, slash, model = name.strip().partition("/")
    pretrained = not folded(model).endswith(NOT_PRETRAINED)
    model = model if pretrained else model[: -len(NOT_PRETRAINED)]
    if not slash or not model or package.lower() not in PACKAGES:
        raise UnknownModelError(name, [])
    return ModelName(package.lower(), model, pretrained)
