"""A look at what training will see, without training."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont

from lt_data.data_config import DataConfig, Split, load_given_config
from lt_data.errors import ConfigError, DatasetError, ImageDecodeError, Problem
from lt_data.files import atomic_write, check_writable, user_path
from lt_data.index.samples import SampleIndex
from lt_data.index.sources import scan_sources
from lt_data.letters import base_letters
from lt_data.structuring import structure
from lt_data.task import Classes, Preprocessing, TaskName
from lt_data.torch.augment import Augmentation
from lt_data.torch.batches import TrainBatch
from lt_data.torch.dataset import EvalDataset, TrainDataset
from lt_data.torch.finish import Finisher
from lt_data.torch.sampler import SampleKey, sample_order, times_before
from lt_data.transform_config import TransformConfig
from lt_data.transforms import resolve_transforms
from lt_data.validators import is_whole

CAPTION_PIXELS = 18
GAP_PIXELS = 4
BACKGROUND = (255, 255, 255)
INK = (0, 0, 0)

logger = logging.getLogger(__name__)


def preview(
    data: DataConfig | Mapping[str, Any] | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    transform_args: TransformConfig | Mapping[str, Any] | None = None,
    task: TaskName = "multiclass",
    num_samples: int = 8,
    num_variants: int = 5,
    seed: int = 0,
) -> Path:
    """Write a PNG with a row for each of some training samples: as validation sees it, then as epochs 0, 1, … do.

    Args:
        data: As for training; or of `check`: validation data need not be there.
        out: The PNG file; an existing one is replaced.
        transform_args: As for training; image size and normalisation that a model would decide are (224, 224) and
            ImageNet's.
        task: As for training.
        num_samples: Rows, drawn from the training samples by `seed`, one of each class first.
        num_variants: Augmented columns.
        seed: As for training: the variants are those that a run with this seed sees.

    Returns:
        The file.

    Raises:
        ConfigError: `data`, `transform_args` or a number is wrong, or `out` is no PNG file in a folder that
            exists and can be written to.
        DatasetError: The data are not as described.
        ImageDecodeError: A file is not a whole image, and `data.on_bad_image` is `"error"`; such files are else left
            out, with a line in the log.
    """
    path = user_path(out)
    _check(path, num_samples, num_variants, seed)
    config, there = (data, get_args(Split)) if isinstance(data, DataConfig) else load_given_config(data)
    wanted = structure(transform_args or {}, TransformConfig, "transform_args")
    found = scan_sources(config, task, there)
    problems = found.all_problems()
    if problems or found.classes is None:
        raise DatasetError(problems)
    transforms = resolve_transforms(wanted, Preprocessing(image_size=(224, 224)), config.decoding)
    augmentation = Augmentation.from_config(wanted, transforms.train)
    drawn = sample_grid(
        found.splits["train"].samples,
        found.classes,
        augmentation,
        transforms.val,
        num_samples=num_samples,
        num_variants=num_variants,
        seed=seed,
        on_bad_image=config.on_bad_image,
    )
    with atomic_write(path) as stream:
        drawn.save(stream, "PNG")
    return path


def sample_grid(
    samples: SampleIndex,
    classes: Classes,
    augmentation: Augmentation,
    preprocessing: Preprocessing,
    *,
    num_samples: int = 8,
    num_variants: int = 5,
    seed: int = 0,
    on_bad_image: Literal["skip", "error"] = "skip",
) -> Image.Image:
    """Draw what `preview` writes, of samples and an augmentation that are there already.

    Args:
        samples: Where rows are drawn from.
        classes: Their names.
        augmentation: What training does.
        preprocessing: What validation does.
        num_samples: Rows, drawn by `seed`, one of each class first.
        num_variants: Augmented columns.
        seed: Seed of the run.
        on_bad_image: What happens with a file that is not a whole image: `"skip"` leaves it out and logs a line.

    Raises:
        DatasetError: Not one of the images can be read.
        ImageDecodeError: A file is not a whole image, and such files are not to be skipped.
    """
    rows: list[tuple[str, list[Image.Image]]] = []
    for sample in map(int, class_by_class(samples, seed=seed)):
        if len(rows) == num_samples:
            break
        try:
            cells = sample_views(samples, sample, augmentation, preprocessing, num_variants, seed)
        except ImageDecodeError as error:
            if on_bad_image == "error":
                raise
            logger.warning("left out: %s", error)
            continue
        rows.append((caption(samples, sample, classes), cells))
    if not rows:
        raise DatasetError([Problem("data", "not one training image can be read")])
    return grid(rows)


def class_by_class(samples: SampleIndex, *, seed: int) -> npt.NDArray[np.int64]:
    """All samples in random order, one of each class before any class comes twice; a pure function of its arguments.

    Of a multilabel sample the rarest label counts, and samples without a label are a class of their own.
    """
    order = sample_order(len(samples), seed=seed, epoch=0)
    own = _rarest(samples)[order]
    return order[np.argsort(times_before(own), kind="stable")]


def _rarest(samples: SampleIndex) -> npt.NDArray[np.int64]:
    """The rarest label of each sample, by its rank; the number of classes for none."""
    counts = np.bincount(samples.labels, minlength=samples.num_classes)
    ranks = np.argsort(np.argsort(counts, kind="stable"))[samples.labels]
    if samples.label_ends is None:
        return ranks
    starts = np.concatenate(([0], samples.label_ends))[:-1]
    rarest = np.full(len(samples), samples.num_classes, dtype=np.int64)
    there = samples.label_ends > starts
    if there.any():
        rarest[there] = np.minimum.reduceat(ranks, starts[there])
    return rarest


def sample_views(
    samples: SampleIndex,
    sample: int,
    augmentation: Augmentation,
    preprocessing: Preprocessing,
    num_variants: int,
    seed: int,
) -> list[Image.Image]:
    """A sample as validation sees it, then as epochs 0, 1, … of training do.

    Args:
        samples: Where the sample is.
        sample: Its index.
        augmentation: What training does.
        preprocessing: What validation does.
        num_variants: How many epochs, at least 0.
        seed: Seed of the run.

    Returns:
        `1 + num_variants` RGB images, each of its split's `image_size`; of more than three channels the first three.

    Raises:
        ImageDecodeError: The file is not a whole image.
    """
    train, finisher = TrainDataset(samples, augmentation, seed), Finisher(augmentation)
    cells = [picture(EvalDataset(samples, preprocessing)[sample].images, preprocessing)]
    for epoch in range(num_variants):
        batch = TrainBatch(*(part[None] for part in train[SampleKey(epoch, sample)]))
        cells.append(picture(finisher(batch)[0], augmentation.preprocessing))
    return cells


def _check(out: Path, num_samples: int, num_variants: int, seed: int) -> None:
    numbers = (("num_samples", num_samples, 1), ("num_variants", num_variants, 0), ("seed", seed, 0))
    problems = [
        Problem(name, f"expected an integer from {least}, got {value!r}")
        for name, value, least in numbers
        if not is_whole(value) or value < least
    ]
    if out.suffix.lower() != ".png" or not out.parent.is_dir():
        problems.append(Problem("out", f"expected a .png file in a folder that exists, got {out}"))
    else:
        try:
            check_writable(out.parent)
        except OSError as error:
            problems.append(Problem("out", f"{out.parent} cannot be written to: {error.strerror}"))
    if problems:
        raise ConfigError(problems)


def picture(image: torch.Tensor, spec: Preprocessing) -> Image.Image:
    """A model's input, float32 (C, H, W), back as a picture; of more than three channels the first three."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (spec.mean, spec.std))
    levels = (image * std + mean).mul(255.0).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)
    pixels: npt.NDArray[np.uint8] = levels.numpy()
    return Image.fromarray(pixels[:, :, :3] if pixels.shape[2] >= 3 else pixels[:, :, 0]).convert("RGB")


def caption(samples: SampleIndex, sample: int, classes: Classes) -> str:
    """Labels and file of a sample."""
    labels = ", ".join(classes.names[label] for label in samples.labels_of(sample)) or "no label"
    path = samples.path(sample)
    shown = path.relative_to(samples.root) if path.is_relative_to(samples.root) else path
    return f"{labels}   {shown}"


def grid(rows: list[tuple[str, list[Image.Image]]]) -> Image.Image:
    """Rows of pictures, each below its caption in base letters: the font has no others."""
    font = ImageFont.load_default(CAPTION_PIXELS - 6)
    heights = [CAPTION_PIXELS + max(cell.height for cell in cells) + GAP_PIXELS for _, cells in rows]
    width = max(sum(cell.width + GAP_PIXELS for cell in cells) for _, cells in rows) + GAP_PIXELS
    canvas = Image.new("RGB", (width, sum(heights) + GAP_PIXELS), BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    top = GAP_PIXELS
    for (text, cells), height in zip(rows, heights, strict=True):
        draw.text((GAP_PIXELS, top), base_letters(text), fill=INK, font=font)
        left = GAP_PIXELS
        for cell in cells:
            canvas.paste(cell, (left, top + CAPTION_PIXELS))
            left += cell.width + GAP_PIXELS
        top += height
    return canvas
