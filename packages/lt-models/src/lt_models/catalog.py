"""Which models there are. A package is imported only when one of its models is asked for."""

from __future__ import annotations

import difflib
import functools
import importlib
import re
from collections.abc import Sequence
from typing import Protocol

from lt_models.backbone import Backbone
from lt_models.errors import UnknownModelError
from lt_models.names import NOT_PRETRAINED, PACKAGES, ModelName, folded, parse_name
from lt_models.spec import ClassifierSpec, ModelInput
from lt_models.weights.published import Published

MEANT_ENDING = re.compile("[-_]no[-_a-z]*$", re.IGNORECASE)
LIKE_ENDING = 0.8
"""From this likeness on, of 1, an ending is `-notpretrained` misspelt."""


class Source(Protocol):
    """What each backbone module of this package offers."""

    def names(self) -> list[str]:
        """Every model name, without the package."""

    def model_input(self, model: str) -> ModelInput:
        """The input of a model's published weights."""

    def published(self, model: str) -> Published | None:
        """The file of a model's weights, None where none is published."""

    def build(self, name: ModelName, spec: ClassifierSpec, *, pretrained: bool) -> Backbone:
        """The backbone of a model that `names` lists."""


def source(package: str) -> Source:
    """The module that builds the backbones of `package`, imported on first use."""
    module: Source = importlib.import_module(f"lt_models.{package}_models")
    return module


def check_name(name: str) -> ModelName:
    """Parse a name and look it up; case does not matter, and `_` and `-` are the same.

    Returns:
        The name as the package itself writes it.

    Raises:
        UnknownModelError: No classifier has that name; names the five nearest, and says so where the package has such
            a model but not as a classifier.
    """
    try:
        parsed = parse_name(name)
    except UnknownModelError as error:
        raise UnknownModelError(name, _nearest_with_ending(name.rpartition("/")[2], PACKAGES)) from error
    known = _spellings(parsed.package)
    spelling = known.get(folded(parsed.model)) or _with_tag(parsed, known)
    if spelling is None:
        near = _nearest_with_ending(name.strip().partition("/")[2], (parsed.package,))
        raise UnknownModelError(name, near, _another_task(parsed))
    return ModelName(parsed.package, spelling, parsed.pretrained)


def model_input(name: str) -> ModelInput:
    """The input that a model's published weights want: size, mean, std, interpolation and crop, from its own card.

    Raises:
        UnknownModelError: No classifier has that name.
    """
    parsed = check_name(name)
    return source(parsed.package).model_input(parsed.model)


@functools.cache
def _spellings(package: str) -> dict[str, str]:
    """The package's own spelling of each folded name."""
    return {folded(model): model for model in source(package).names()}


def _with_tag(parsed: ModelName, known: dict[str, str]) -> str | None:
    """Timm's own spelling of `architecture.tag`; None for an architecture that it does not know.

    Raises:
        UnknownModelError: Timm publishes no weights of that tag.
    """
    architecture, dot, tag = parsed.model.partition(".")
    if parsed.package != "timm" or not dot or folded(architecture) not in known:
        return None
    from lt_models.timm_models import tags

    spellings = {folded(there): there for there in tags(known[folded(architecture)])}
    if folded(tag) not in spellings:
        asked = f"timm/{known[folded(architecture)]}"
        near = difflib.get_close_matches(tag, spellings.values(), n=5, cutoff=0.0)
        raise UnknownModelError(f"timm/{parsed.model}", [f"{asked}.{there}" for there in near] or [asked])
    return f"{known[folded(architecture)]}.{spellings[folded(tag)]}"


def _another_task(parsed: ModelName) -> str:
    """Why a model of torchvision is no classifier of ours; empty when torchvision has none of that name either."""
    if parsed.package != "torchvision":
        return ""
    from lt_models.torchvision_models import another_task

    return another_task(parsed.model)


def _nearest_with_ending(model: str, packages: Sequence[str]) -> list[str]:
    """As `_nearest`; where `model` ends in what is, or was meant to be, `-notpretrained`, with that ending."""
    ending = MEANT_ENDING.search(model)
    if ending is None or difflib.SequenceMatcher(None, folded(ending[0]), NOT_PRETRAINED).ratio() < LIKE_ENDING:
        return _nearest(model, packages)
    return [near + NOT_PRETRAINED for near in _nearest(model[: ending.start()], packages)]


def _nearest(model: str, packages: Sequence[str]) -> list[str]:
    """Full names of the five models most like `model`."""
    homes = {known: package for package in reversed(packages) for known in source(package).names()}
    return [f"{homes[known]}/{known}" for known in difflib.get_close_matches(model, homes, n=5, cutoff=0.0)]
