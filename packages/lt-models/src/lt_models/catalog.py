"""Which models there are. A package is imported only when one of its models is asked for."""

from __future__ import annotations

import difflib
import fnmatch
import importlib
from collections.abc import Sequence
from typing import Protocol

import attrs
from torch import nn

from lt_models.errors import UnknownModelError
from lt_models.names import PACKAGES, ModelName, parse_name
from lt_models.spec import ClassifierSpec, ModelInput


@attrs.frozen
class Backbone:
    """A module from images to pooled features, and their number."""

    module: nn.Module
    num_features: int


class Source(Protocol):
    """What each backbone module of this package offers."""

    def names(self) -> list[str]:
        """Every model name, without the package."""

    def model_input(self, model: str) -> ModelInput:
        """The input of a model's published weights."""

    def build(self, name: ModelName, spec: ClassifierSpec, *, pretrained: bool) -> Backbone:
        """The backbone of a model that `names` lists."""


def source(package: str) -> Source:
    """The module that builds the backbones of `package`, imported on first use."""
    module: Source = importlib.import_module(f"lt_models.{package}_models")
    return module


def list_models(pattern: str = "*") -> list[str]:
    """Full names of the models that match a shell pattern such as `timm/resnet*`; imports only the packages needed."""
    package = pattern.partition("/")[0]
    packages = [known for known in PACKAGES if fnmatch.fnmatch(known, package)] or list(PACKAGES)
    names = (f"{known}/{model}" for known in packages for model in source(known).names())
    return [name for name in names if fnmatch.fnmatch(name, pattern)]


def check_name(name: str) -> ModelName:
    """Parse a name and look it up.

    Raises:
        UnknownModelError: No model has that name; names the five nearest.
    """
    try:
        parsed = parse_name(name)
    except UnknownModelError as error:
        package, _, model = name.rpartition("/")
        raise UnknownModelError(name, _named_after(package) or _nearest(model, PACKAGES)) from error
    if parsed.model.partition(".")[0] not in source(parsed.package).names():
        raise UnknownModelError(name, _nearest(parsed.model, (parsed.package,)))
    return parsed


def model_input(name: str) -> ModelInput:
    """The input that a model's published weights want: size, mean, std, interpolation and crop, from its own card.

    Raises:
        UnknownModelError: No model has that name.
    """
    parsed = check_name(name)
    return source(parsed.package).model_input(parsed.model)


def _named_after(package: str) -> list[str]:
    """Five of timm's models for families that have no names of their own here yet: dinov2 and dinov3."""
    if package.lower() not in ("dinov2", "dinov3"):
        return []
    return [f"timm/{model}" for model in source("timm").names() if package.lower() in model][:5]


def _nearest(model: str, packages: Sequence[str]) -> list[str]:
    """Full names of the five models most like `model`."""
    homes = {known: package for package in reversed(packages) for known in source(package).names()}
    return [f"{homes[known]}/{known}" for known in difflib.get_close_matches(model, homes, n=5, cutoff=0.0)]
