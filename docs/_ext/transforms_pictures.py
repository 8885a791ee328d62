"""Pictures of what each transform does to a photograph, drawn by the code that training runs."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from PIL import Image
from sklearn.datasets import load_sample_image

from lt_data import (
    Preprocessing,
    SampleIndex,
    TransformConfig,
    build_index,
    load_data_config,
    resolve_transforms,
    structure,
)
from lt_data.task import ResizeMode
from lt_data.torch import Augmentation, sample_views
from transforms_page import drawn_args, random_transforms

SIZE = (144, 144)
"""Height and width of each view in pixels."""
VARIANTS = 5
GAP_PIXELS = 4
PHOTOGRAPHS = ("china.jpg", "flower.jpg")
"""Of scikit-learn: real pixels that need no network; the first is drawn."""


def draw(folder: Path) -> None:
    """Write a strip for each transform: the image as validation sees it, then as epochs of training do."""
    folder.mkdir(parents=True, exist_ok=True)
    off: dict[str, None] = dict.fromkeys(random_transforms())
    wanted: dict[str, Mapping[str, Any]] = {"defaults": {}}
    wanted |= {name: {**off, name: drawn_args(name)} for name in off}
    with tempfile.TemporaryDirectory() as root:
        samples = photographs(Path(root))
        for name, args in wanted.items():
            save(views(samples, args, VARIANTS), folder / f"{name}.jpg")
        modes = [views(samples, {"resize_mode": mode}, 0)[0] for mode in get_args(ResizeMode)]
        save(modes, folder / "resize_mode.jpg")


def photographs(root: Path) -> SampleIndex:
    """An index of the photographs, each a class."""
    for split in ("train", "val"):
        for name in PHOTOGRAPHS:
            (root / split / Path(name).stem).mkdir(parents=True)
            Image.fromarray(load_sample_image(name)).save(root / split / Path(name).stem / "image.png")
    return build_index(load_data_config({"train": root / "train", "val": root / "val"}), "multiclass").train


def views(samples: SampleIndex, args: Mapping[str, Any], variants: int) -> list[Image.Image]:
    """The first photograph with `transform_args`, as validation sees it and as `variants` epochs do."""
    config = structure({"image_size": SIZE, **args}, TransformConfig, "transform_args")
    transforms = resolve_transforms(config, Preprocessing(image_size=SIZE))
    augmentation = Augmentation.from_config(config, transforms.train)
    return sample_views(samples, 0, augmentation, transforms.val, variants, seed=0)


def save(cells: Sequence[Image.Image], path: Path) -> None:
    """Write pictures side by side."""
    width = sum(cell.width + GAP_PIXELS for cell in cells) - GAP_PIXELS
    strip = Image.new("RGB", (width, SIZE[0]), "white")
    left = 0
    for cell in cells:
        strip.paste(cell, (left, 0))
        left += cell.width + GAP_PIXELS
    strip.save(path, quality=88)
