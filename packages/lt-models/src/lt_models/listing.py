"""Which models there are, and what is known of them. No model is built; only the packages asked for are imported."""

from __future__ import annotations

import csv
import fnmatch
import functools
from importlib import resources

import attrs

from lt_models.catalog import source
from lt_models.names import PACKAGES, folded
from lt_models.weights.cache import is_cached


@attrs.frozen(kw_only=True)
class ModelCard:
    """What is known of a model without building it.

    Attributes:
        name: Full name, to be passed to `create_classifier`.
        parameters: Of the backbone, without a head; None for a model that is newer than the table of this package.
        num_features: Length of the features of one image; None as above.
        image_size: Height and width in pixels that `image_size="auto"` stands for.
        licence: Of the published weights, as their publisher names it; None where there are none.
        pretrained: Whether weights are published.
        on_this_machine: Whether they are in the cache folder already.
    """

    name: str
    parameters: int | None
    num_features: int | None
    image_size: tuple[int, int]
    licence: str | None
    pretrained: bool
    on_this_machine: bool


def list_models(
    pattern: str = "*",
    *,
    pretrained: bool | None = None,
    max_parameters: int | None = None,
    licence: str | None = None,
) -> list[str]:
    """Full names of the models that match; `describe_models` says more of each, and takes the same arguments."""
    if pretrained is None and max_parameters is None and licence is None:
        return _names(pattern)
    cards = describe_models(pattern, pretrained=pretrained, max_parameters=max_parameters, licence=licence)
    return [card.name for card in cards]


def describe_models(
    pattern: str = "*",
    *,
    pretrained: bool | None = None,
    max_parameters: int | None = None,
    licence: str | None = None,
) -> list[ModelCard]:
    """What is known of the models that match.

    Args:
        pattern: Shell pattern of full names, such as `timm/resnet*`; case does not matter, and `_` and `-` are the
            same. A pattern with a dot, such as `timm/resnet50.*`, lists timm's tags one by one.
        pretrained: True for models with published weights only, False for those without.
        max_parameters: Only models that are known to have no more.
        licence: Shell pattern of the weights' licence, such as `apache*`; case does not matter.
    """
    cards = (_card(name) for name in _names(pattern))
    return [
        card
        for card in cards
        if (pretrained is None or card.pretrained == pretrained)
        and (max_parameters is None or (card.parameters is not None and card.parameters <= max_parameters))
        and (licence is None or fnmatch.fnmatchcase((card.licence or "").lower(), licence.lower()))
    ]


def _names(pattern: str) -> list[str]:
    wanted = folded(pattern)
    package, _, model = wanted.partition("/")
    packages = [known for known in PACKAGES if fnmatch.fnmatchcase(known, package)]
    if "/" not in wanted and not packages:
        packages = list(PACKAGES)
    names = (f"{known}/{name}" for known in packages for name in _models(known, with_tags="." in model))
    return [name for name in names if fnmatch.fnmatchcase(folded(name), wanted)]


def _models(package: str, *, with_tags: bool) -> list[str]:
    if package == "timm" and with_tags:
        from lt_models.timm_models import tags

        return [f"{name}.{tag}" for name in source(package).names() for tag in tags(name)]
    return source(package).names()


def _card(name: str) -> ModelCard:
    package, _, model = name.partition("/")
    published = source(package).published(model)
    parameters, num_features = _sizes().get(name.partition(".")[0], (None, None))
    return ModelCard(
        name=name,
        parameters=parameters,
        num_features=num_features,
        image_size=source(package).model_input(model).image_size,
        licence=published.licence if published else None,
        pretrained=published is not None,
        on_this_machine=published is not None and is_cached(published),
    )


@functools.cache
def _sizes() -> dict[str, tuple[int, int]]:
    """Parameters and features by name, as `tools/model_sizes.py` has counted them."""
    with resources.files("lt_models").joinpath("sizes.csv").open() as file:
        return {name: (int(parameters), int(features)) for name, parameters, features in csv.reader(file)}
