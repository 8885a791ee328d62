"""The `data` and `transform_args` of a run."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs
import yaml

from lt_data.errors import ConfigError, Problem
from lt_data.structuring import STRUCTURE, structure
from lt_data.task import ResizeMode
from lt_data.validators import above, at_least, between

PATH_KEYS = ("train", "val", "test", "train_csv", "val_csv", "test_csv")


def _classes(value: object) -> dict[int, str]:
    """Names by ID, from a dict with integer keys (text of digits counts, as JSON has no others) or a list."""
    entries: Iterable[tuple[object, object]]
    if isinstance(value, Mapping):
        entries = value.items()
    elif isinstance(value, Sequence) and not isinstance(value, str):
        entries = enumerate(value)
    else:
        raise ValueError(f"expected a dict from class ID to class name, got {value!r}")
    problems: list[Problem] = []
    names: dict[int, str] = {}
    owner: dict[str, int] = {}
    for key, name in entries:
        where = f"[{key!r}]"
        class_id = int(key) if isinstance(key, str) and key.removeprefix("-").isdecimal() else key
        if isinstance(class_id, bool) or not isinstance(class_id, int):
            problems.append(Problem(where, "class IDs must be integers"))
        elif not isinstance(name, str) or not name:
            problems.append(Problem(where, f"expected a class name, got {name!r}"))
        elif class_id in names:
            problems.append(Problem(where, f"class ID {class_id} is used twice"))
        elif name in owner:
            problems.append(Problem(where, f'class name "{name}" is used twice (IDs {owner[name]} and {class_id})'))
        else:
            names[class_id] = name
            owner[name] = class_id
    if problems:
        raise ConfigError(problems)
    return names


def _ignored(value: object) -> tuple[int | str, ...]:
    if value is None:
        return ()
    if not isinstance(value, (list, tuple, set, frozenset)) or any(
        isinstance(entry, bool) or not isinstance(entry, (int, str)) for entry in value
    ):
        raise ValueError(f"expected a list of class IDs or names, got {value!r}")
    return tuple(value)


@attrs.frozen(kw_only=True)
class DataConfig:
    """Where the images and labels are.

    Attributes:
        train: Folder with one folder of images a class, for training.
        val: The same for validation.
        test: The same for the final test.
        train_csv: CSV file with image paths and labels, in place of `train`.
        val_csv: The same for validation.
        test_csv: The same for the final test.
        classes: Class name by class ID, or a list of names; None takes the names of the training folder's folders
            in natural order.
        ignore_classes: IDs or names of classes that are in the data but take no part.
        csv_image_column: Column of image paths, absolute or relative to the CSV file.
        csv_label_column: Column of labels.
        csv_label_type: Whether labels are class names or class IDs.
        label_delimiter: Text between the labels of one image.
        encoding: Of CSV files; a byte order mark of UTF-16 is recognised.
    """

    train: Path | None = None
    val: Path | None = None
    test: Path | None = None
    train_csv: Path | None = None
    val_csv: Path | None = None
    test_csv: Path | None = None
    classes: dict[int, str] | None = attrs.field(
        default=None, metadata={STRUCTURE: lambda v: None if v is None else _classes(v)}
    )
    ignore_classes: tuple[int | str, ...] = attrs.field(default=(), metadata={STRUCTURE: _ignored})
    csv_image_column: str = "image_path"
    csv_label_column: str = "label"
    csv_label_type: Literal["name", "id"] = "name"
    label_delimiter: str = attrs.field(default=",", validator=attrs.validators.min_len(1))
    encoding: str = "utf-8-sig"

    def __attrs_post_init__(self) -> None:
        problems = [*self._split_problems(), *self._class_problems()]
        if problems:
            raise ConfigError(problems)

    def _split_problems(self) -> Iterable[Problem]:
        for split in ("train", "val", "test"):
            folder, table = getattr(self, split), getattr(self, f"{split}_csv")
            if folder is not None and table is not None:
                yield Problem(f"{split}_csv", f"give either `{split}` or `{split}_csv`, not both")
            elif folder is None and table is None and split != "test":
                yield Problem(
                    split, f"this key is required: a folder with one folder of images a class; or `{split}_csv`"
                )
        try:
            codecs.lookup(self.encoding)
        except LookupError:
            yield Problem("encoding", f"Python knows no encoding {self.encoding!r}")

    def _class_problems(self) -> Iterable[Problem]:
        if self.classes is None:
            return
        valid = {*self.classes, *self.classes.values()}
        for entry in self.ignore_classes:
            if entry not in valid:
                yield Problem("ignore_classes", f"{entry!r} is neither an ID nor a name of `classes`")
        if len(self.kept_classes(self.classes)) < 2:
            yield Problem("classes", "at least two classes must be left to tell apart")

    def kept_classes(self, classes: Mapping[int, str]) -> dict[int, str]:
        """`classes` without those that `ignore_classes` names."""
        ignored = set(self.ignore_classes)
        return {i: name for i, name in classes.items() if i not in ignored and name not in ignored}


def load_data_config(data: Mapping[str, Any] | str | os.PathLike[str]) -> DataConfig:
    """The `data` argument, from a dict or from a YAML file.

    Args:
        data: A dict, whose relative paths are relative to the working directory, or the path of a YAML file, whose
            relative paths are relative to the file.

    Raises:
        ConfigError: The file cannot be read, or names every key that is unknown, missing or wrong.
    """
    if isinstance(data, Mapping):
        return structure(data, DataConfig, "data")
    if not isinstance(data, (str, os.PathLike)):
        raise ConfigError([Problem("data", f"expected a dict or the path of a YAML file, got {data!r}")])
    file = Path(data).expanduser()
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError([Problem("data", f"cannot read {file} as a YAML file: {error}")]) from error
    if not isinstance(content, dict):
        raise ConfigError([Problem("data", f"{file} must hold keys such as `train` and `val`, it holds {content!r}")])
    config = structure(content, DataConfig, "data")
    absolute = {key: file.parent / getattr(config, key) for key in PATH_KEYS if getattr(config, key) is not None}
    return attrs.evolve(config, **absolute)


@attrs.frozen(kw_only=True)
class Normalize:
    """Mean and standard deviation by channel, of values in [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...] = attrs.field(validator=above(0.0))


@attrs.frozen(kw_only=True)
class RandomCrop:
    """A crop of random area (a share of the image's) and aspect ratio (3/4 to 4/3), resized to `image_size`.

    The procedure of Szegedy et al. 2015 (https://arxiv.org/abs/1409.4842), known as random resized crop.
    """

    min_scale: float = attrs.field(default=0.2, validator=between(0.01, 1.0))
    max_scale: float = attrs.field(default=1.0, validator=between(0.01, 1.0))

    def __attrs_post_init__(self) -> None:
        if self.min_scale > self.max_scale:
            raise ValueError(f"min_scale ({self.min_scale}) must not be above max_scale ({self.max_scale})")


@attrs.frozen(kw_only=True)
class RandomFlip:
    """Mirroring, each direction with its own probability."""

    horizontal_prob: float = attrs.field(default=0.5, validator=between(0.0, 1.0))
    vertical_prob: float = attrs.field(default=0.0, validator=between(0.0, 1.0))


@attrs.frozen(kw_only=True)
class ColorJitter:
    """Random change of colour, applied with probability `prob` to a whole image.

    Each of `brightness`, `contrast` and `saturation`, times `strength`, is an s that draws a factor from
    [1 - s, 1 + s] (never below 0); `hue` times `strength` draws a rotation from [-hue, hue] turns.
    """

    prob: float = attrs.field(default=0.5, validator=between(0.0, 1.0))
    strength: float = attrs.field(default=1.0, validator=at_least(0.0))
    brightness: float = attrs.field(default=32 / 255, validator=at_least(0.0))
    contrast: float = attrs.field(default=0.5, validator=at_least(0.0))
    saturation: float = attrs.field(default=0.5, validator=at_least(0.0))
    hue: float = attrs.field(default=18 / 360, validator=between(0.0, 0.5))


@attrs.frozen(kw_only=True)
class ValTransformConfig:
    """What validation, `predict` and the edge do differently from training.

    Attributes:
        image_size: (height, width) in pixels; None takes training's.
        resize_scale: The shorter side is resized to this times `image_size` before the centre is cropped; None takes
            the model's own.
    """

    image_size: tuple[int, int] | None = attrs.field(default=None, validator=at_least(1))
    resize_scale: float | None = attrs.field(default=None, validator=at_least(1.0))


@attrs.frozen(kw_only=True)
class TransformConfig:
    """How images become inputs; a transform set to None is off.

    Attributes:
        image_size: (height, width) in pixels; `"auto"` takes the model's own.
        num_channels: 1 grey, 3 RGB, 4 RGBA; other numbers load images unchanged and must match them; `"auto"` is 3, or
            that of the exported model which training starts from.
        normalize: Mean and standard deviation; `"auto"` takes the model's own.
        resize_mode: `"crop"` keeps the centre, `"letterbox"` the whole image inside a border of the mean colour,
            `"squash"` the whole image with another aspect ratio; in validation, `predict` and on the edge, and in
            training where `random_crop` is None. `"auto"` is `"crop"`, or that of the exported model to start from.
        random_crop: Crop of random area and aspect ratio.
        random_flip: Mirroring.
        color_jitter: Change of colour, for RGB images.
        val: Overrides for validation, `predict` and the edge.
    """

    image_size: tuple[int, int] | Literal["auto"] = attrs.field(default="auto", validator=at_least(1))
    num_channels: int | Literal["auto"] = attrs.field(default="auto", validator=at_least(1))
    normalize: Normalize | Literal["auto"] = "auto"
    resize_mode: ResizeMode | Literal["auto"] = "auto"
    random_crop: RandomCrop | None = RandomCrop()
    random_flip: RandomFlip | None = RandomFlip()
    color_jitter: ColorJitter | None = ColorJitter()
    val: ValTransformConfig = ValTransformConfig()
