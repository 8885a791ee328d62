"""Tables of models, as Markdown, from what lt_models knows of each without building any."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import timm
import torchvision

from lt_models import ModelCard, describe_models, list_models
from markdown_tables import table

T = TypeVar("T")

EXAMPLES = (
    *("dinov3/vitt16", "dinov3/vits16", "dinov3/vitb16", "dinov3/convnext-tiny", "dinov2/vits14", "dinov2/vitb14"),
    *("timm/resnet18", "timm/resnet50", "timm/efficientnet_b0", "timm/mobilenetv3_large_100", "timm/convnext_tiny"),
    *("timm/vit_small_patch16_224", "torchvision/resnet50", "torchvision/swin_t", "torchvision/mobilenet_v3_small"),
)
"""For a start; what is said of them comes from their cards."""

TIMES = "\u00a0\u00d7\u00a0"
"""A times sign that no line breaks at."""

COLUMNS = ("name", "parameters (millions)", "features", "image size", "weights")


def packages() -> str:
    """How many models each package has, in how many families, with published weights, and how large they are."""
    rows = []
    for package, cards in by_package().items():
        sizes = [card.parameters for card in cards if card.parameters is not None]
        published = sum(card.pretrained for card in cards)
        span = f"{millions(min(sizes))} to {millions(max(sizes))}"
        rows.append((f"`{package}`", str(len(cards)), str(len(families(package, cards))), str(published), span))
    return table(("package", "models", "families", "with published weights", "parameters (millions)"), rows)


def examples() -> str:
    """A table of some models.

    Raises:
        KeyError: One of them is no longer there.
    """
    cards = {card.name: card for card in describe_models()}
    return table(COLUMNS, [row(cards[name]) for name in EXAMPLES])


def every_model() -> str:
    """All of them by package and family; of timm's the tags of published weights too."""
    tags = grouped(list_models("timm/*.*"), lambda name: name.partition(".")[0])
    parts = []
    for package, cards in by_package().items():
        parts.append(f"## {package}")
        for family, members in families(package, cards).items():
            rows = [row(card) for card in members]
            if package == "timm":
                tagged = [(*cells, _tags(tags.get(card.name, []))) for cells, card in zip(rows, members, strict=True)]
                shown = table((*COLUMNS, "tags"), tagged)
            else:
                shown = table(COLUMNS, rows)
            parts += [f"### {family} ({package})", shown]
    return "\n\n".join(parts)


def by_package() -> dict[str, list[ModelCard]]:
    """All cards by the first part of their names."""
    return grouped(describe_models(), lambda card: card.name.partition("/")[0])


def families(package: str, cards: Sequence[ModelCard]) -> dict[str, list[ModelCard]]:
    """Cards by the module that their package has them in; those of DINO by their kind of network."""
    homes = {"timm": timm_modules, "torchvision": torchvision_modules}
    if package in homes:
        home = homes[package]()
    else:
        home = {card.name: "convnext" if "convnext" in card.name else "vision_transformer" for card in cards}
    return dict(sorted(grouped(cards, lambda card: home[card.name]).items()))


def timm_modules() -> dict[str, str]:
    """Timm's module of each of its models."""
    return {f"timm/{name}": module for module in timm.list_modules() for name in timm.list_models(module=module)}


def torchvision_modules() -> dict[str, str]:
    """Torchvision's module of each of its models."""
    models = torchvision.models
    builders = {name: models.get_model_builder(name) for name in models.list_models(module=models)}
    return {f"torchvision/{name}": builder.__module__.rpartition(".")[2] for name, builder in builders.items()}


def row(card: ModelCard) -> tuple[str, ...]:
    """A model's cells of `COLUMNS`."""
    licence = (card.licence or "not told").partition(" (")[0] if card.pretrained else "none published"
    parameters = "not counted" if card.parameters is None else millions(card.parameters)
    features = "not counted" if card.num_features is None else str(card.num_features)
    height, width = card.image_size
    return (f"`{card.name}`", parameters, features, f"{height}{TIMES}{width}", licence)


def millions(parameters: int) -> str:
    """Parameters to three figures."""
    count = parameters / 1e6
    return f"{count:.2f}" if count < 10 else f"{count:.1f}" if count < 100 else f"{count:.0f}"


def grouped(items: Iterable[T], key: Callable[[T], str]) -> dict[str, list[T]]:
    """Items by what `key` makes of each, in the order of their first."""
    found: dict[str, list[T]] = defaultdict(list)
    for item in items:
        found[key(item)].append(item)
    return dict(found)


def _tags(names: Sequence[str]) -> str:
    return ", ".join(f"`{name.partition('.')[2]}`" for name in names)
