"""The `data` of a run."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import attrs
import yaml

from lt_data.errors import ConfigError, PredictionArgumentError, Problem, enumerated, listed, nearest, told_apart
from lt_data.files import looked_for, user_path
from lt_data.images.decoding import Decoding, DicomFrame, DicomWindow, valid_frame, valid_range, valid_window
from lt_data.structuring import STRUCTURE, structure
from lt_data.validators import above, at_least, between, is_whole
from lt_data.yaml_text import UniqueKeyLoader, unreadable_yaml

Split = Literal["train", "val", "test"]

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet", ".pq")
"""Of files that are tables where a YAML file could be."""

LARGEST_CACHE_GB = 1e9
"""More than any disk; the number of bytes must be one."""

PATH_KEYS = ("train", "val", "test", "train_csv", "val_csv", "test_csv")


def _classes(value: object) -> dict[int, str]:
    """Names by ID, from a dict with integer keys (text of digits counts, as JSON has no others) or a list."""
    entries: Iterable[tuple[object, object]]
    if isinstance(value, Mapping):
        entries = value.items()
    elif isinstance(value, Sequence) and not isinstance(value, str):
        entries = enumerate(value)
    else:
        forms = "a list of names, such as [cat, dog], or a dict from ID to name, such as {0: cat, 1: dog}"
        raise ValueError(f"expected {forms} (in quotes on a command line), got {repr(value)[:60]}")
    problems: list[Problem] = []
    names: dict[int, str] = {}
    owner: dict[str, int] = {}
    for key, name in entries:
        where = f"[{key!r}]"
        class_id = int(key) if isinstance(key, str) and key.removeprefix("-").isdecimal() else key
        if not is_whole(class_id):
            turned = f", such as {{{name}: {key!r}}}: first the ID, then the name" if is_whole(name) else ""
            problems.append(Problem(where, f"class IDs must be integers{turned}"))
        elif not isinstance(name, str) or not name:
            hint = "; in YAML, names such as no and 1 need quotes" if isinstance(name, (bool, int, float)) else ""
            problems.append(Problem(where, f"expected a class name, got {name!r}{hint}"))
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
    if not isinstance(value, (list, tuple, set, frozenset)) or not all(
        is_whole(entry) or isinstance(entry, str) for entry in value
    ):
        raise ValueError(f"expected a list of class IDs or names, got {value!r}")
    return tuple(value)


def _share(instance: object, attribute: attrs.Attribute[Any], value: Path | float | None) -> None:
    if isinstance(value, float) and not 0.0 < value < 1.0:
        raise ValueError(f"a share of the training samples is above 0 and below 1, got {value:g}")


def _one_character(instance: object, attribute: attrs.Attribute[str], value: str) -> None:
    if len(value) != 1 or value in '\r\n\0"':
        raise ValueError(f"{attribute.name} must be one character, such as ',', ';' or a tab, got {value!r}")


def _some_text(instance: object, attribute: attrs.Attribute[str], value: str) -> None:
    if not value:
        raise ValueError("must have at least one character, such as ',' or '|', got ''")


@attrs.frozen(kw_only=True)
class DataConfig:
    """Where the images and labels are.

    Attributes:
        train: Folder with one folder of images a class, for training.
        val: The same for validation; or a share of the training samples, above 0 and below 1, that is split off.
        test: The same for the final test.
        train_csv: CSV or Parquet file with image paths and labels, in place of `train`.
        val_csv: The same for validation.
        test_csv: The same for the final test.
        classes: Class name by class ID, or a list of names; None takes the names in the training data: of folders or
            labels in natural order, or of `csv_label_columns` as they are listed.
        ignore_classes: IDs or names of classes that are in the data but take no part.
        csv_image_column: Column of image paths, absolute or relative to the CSV file.
        csv_label_column: Column of labels.
        csv_label_columns: In place of `csv_label_column`, one column of 0 and 1 a class (one-hot), where an empty cell
            is 0; columns are named as the classes, or by their IDs.
        csv_label_type: Whether labels are class names or class IDs.
        csv_delimiter: Character between the columns.
        label_delimiter: Text between the labels of one image.
        encoding: Of CSV files; a byte order mark of UTF-16 is recognised.
        split_group_column: With `val` as a share: rows that agree in this column go to the same split; a row
            where it is empty is on its own.
        split_seed: With `val` as a share: another seed gives another split.
        value_range: Values that become black and white in images of more than 8 bits; see `Decoding`.
        dicom_window: How DICOM values become brightness; see `Decoding`.
        dicom_frame: Which frame of a DICOM file with several; see `Decoding`. A column `dicom_frame` of a table, with
            indices from 0, overrules it row by row where it is not empty.
        on_bad_image: What training and validation do with an image that cannot be read: `"skip"` logs each once,
            counts them, and stops at more than 1 % of the split, or of small ones than three images and a tenth;
            `"error"` stops at the first.
        cache: Where training keeps decoded, shrunk images for later epochs: `"ram"`, `"disk"`, or None.
        cache_limit_gb: The most that the cache takes, in units of 10^9 bytes; what does not fit is decoded anew.
    """

    train: Path | None = None
    val: Path | float | None = attrs.field(default=None, validator=_share)
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
    csv_label_columns: tuple[str, ...] | None = None
    csv_label_type: Literal["name", "id"] = "name"
    csv_delimiter: str = attrs.field(default=",", validator=_one_character)
    label_delimiter: str = attrs.field(default=",", validator=_some_text)
    encoding: str = "utf-8-sig"
    split_group_column: str | None = None
    split_seed: int = attrs.field(default=0, validator=at_least(0))
    value_range: tuple[float, float] | None = attrs.field(default=None, validator=valid_range)
    dicom_window: DicomWindow = attrs.field(default="file", validator=valid_window)
    dicom_frame: DicomFrame = attrs.field(default="middle", validator=valid_frame)
    on_bad_image: Literal["skip", "error"] = "skip"
    cache: Literal["ram", "disk"] | None = None
    cache_limit_gb: float = attrs.field(default=8.0, validator=(above(0.0), between(0.0, LARGEST_CACHE_GB)))

    def __attrs_post_init__(self) -> None:
        shares, classes = self._share_problems(), self._class_problems()
        problems = [*self._split_problems(), *self._table_problems(), *shares, *classes]
        if problems:
            raise ConfigError(problems)

    def _split_problems(self) -> Iterable[Problem]:
        for split in ("train", "val", "test"):
            folder, table = getattr(self, split), getattr(self, f"{split}_csv")
            if folder is not None and table is not None:
                yield Problem(f"{split}_csv", f"give either `{split}` or `{split}_csv`, not both")
            elif folder is None and table is None and split != "test":
                share = "; or a share of the training images, such as 0.2" if split == "val" else ""
                what = f"this key is required: a folder with one folder of images a class; or `{split}_csv`{share}"
                yield Problem(split, what)
        try:
            io.TextIOWrapper(io.BytesIO(), encoding=self.encoding)
        except (LookupError, ValueError):
            yield Problem("encoding", f"Python knows no text encoding {self.encoding!r}")

    def _table_problems(self) -> Iterable[Problem]:
        if any(getattr(self, f"{split}_csv") is not None for split in ("train", "val", "test")):
            return
        for field in attrs.fields(DataConfig):
            if field.name.startswith("csv_") and getattr(self, field.name) != field.default:
                yield Problem(field.name, "is for tables, and there is none: give `train_csv`, or leave it out")

    def _share_problems(self) -> Iterable[Problem]:
        if isinstance(self.val, float):
            if not 0.0 < self.val < 1.0:
                yield Problem(
                    "val", f"as a share of the training samples it must be above 0 and below 1, got {self.val:g}"
                )
            if self.split_group_column is not None and self.train_csv is None:
                yield Problem("split_group_column", "needs `train_csv`: folders have no columns")
        elif self.split_group_column is not None:
            yield Problem("split_group_column", "needs `val` to be a share of the training samples, such as 0.2")
        columns = self.csv_label_columns
        if columns is not None and (len(columns) < 2 or len(set(columns)) < len(columns)):
            yield Problem("csv_label_columns", f"at least two different columns are needed, got {list(columns)}")

    def _class_problems(self) -> Iterable[Problem]:
        if self.classes is None:
            return
        valid = {*self.classes, *self.classes.values()}
        for entry in self.ignore_classes:
            if entry not in valid:
                what = f"{entry!r} is neither an ID nor a name of `classes`; {likely_class(entry, self.classes)}"
                yield Problem("ignore_classes", what)
        if len(self.kept_classes(self.classes)) < 2:
            yield Problem("classes", "at least two classes must be left to tell apart")

    @property
    def decoding(self) -> Decoding:
        """How files become pixels."""
        return Decoding(value_range=self.value_range, dicom_window=self.dicom_window, dicom_frame=self.dicom_frame)

    def kept_classes(self, classes: Mapping[int, str]) -> dict[int, str]:
        """`classes` without those that `ignore_classes` names."""
        ignored = set(self.ignore_classes)
        return {i: name for i, name in classes.items() if i not in ignored and name not in ignored}


def likely_class(entry: int | str, classes: Mapping[int, str]) -> str:
    """What to say of an ID or a name that none of `classes` has: the name that may be meant, or all of them."""
    near = nearest(entry, classes.values()) if isinstance(entry, str) else None
    names = [f"{i}: {told_apart(name)}" for i, name in classes.items()]
    return f"did you mean {near!r}?" if near else f"there are {enumerated(names)}"


def load_data_config(data: Mapping[str, Any] | str | os.PathLike[str]) -> DataConfig:
    """The `data` argument, from a dict, from a YAML file, or of a folder with folders `train` and `val`.

    Args:
        data: A dict, whose relative paths are relative to the working directory; the path of a YAML file, whose
            relative paths are relative to the file; or a folder, whose folder `test` is the test split if it is there.

    Raises:
        ConfigError: The file cannot be read, or names every key that is unknown, missing or wrong; or a folder or table
            lacks validation data.
    """
    keys = data_keys(data) if isinstance(data, (str, os.PathLike)) else None
    if keys is not None and "val" not in keys:
        raise ConfigError([Problem("data", _lacks_validation(keys))])
    content, folder = _read(data) if keys is None else (keys, None)
    return _located(structure(content, DataConfig, "data"), folder)


def load_given_config(data: Mapping[str, Any] | str | os.PathLike[str]) -> tuple[DataConfig, tuple[Split, ...]]:
    """The `data` argument where only the training data need be there, and which splits are.

    Args:
        data: As for `load_data_config`; or a folder or table, as `data_keys` understands it.

    Returns:
        Where validation data are not given, the training data stand in their place.

    Raises:
        ConfigError: As `load_data_config`, but for validation data that are not there.
    """
    keys = data_keys(data) if isinstance(data, (str, os.PathLike)) else None
    content, folder = _read(data) if keys is None else (keys, None)
    given = {key: value for key, value in content.items() if value is not None}
    there = _splits_in(given)
    if "val" not in there:
        given |= {key.replace("train", "val"): given[key] for key in ("train", "train_csv") if key in given}
    return _located(structure(given, DataConfig, "data"), folder), there


def load_split_config(data: Mapping[str, Any] | str | os.PathLike[str], split: Split) -> DataConfig:
    """The `data` argument where one split is of interest: others need not be there.

    Args:
        data: As for `load_data_config`; or a folder with one folder of images a class, or a CSV or Parquet file, which
            then is the split.
        split: Which one.

    Returns:
        Where training or validation data are not given, those of `split` stand in their place.

    Raises:
        ConfigError: As `load_data_config`; or `data` has no such split.
    """
    if split not in get_args(Split):
        raise ConfigError([Problem("split", f"expected {' or '.join(map(repr, get_args(Split)))}, got {split!r}")])
    keys = data_keys(data, split) if isinstance(data, (str, os.PathLike)) else None
    content, folder = _read(data) if keys is None else (keys, None)
    given = {key: value for key, value in content.items() if value is not None}
    own = next((key for key in (split, f"{split}_csv") if key in given), None)
    if own is None:
        there = _splits_in(given)
        what = f"is not given; choose a split that is ({listed(there) or 'there is none'}), or add `{split}_csv`"
        raise ConfigError([Problem(f"data.{split}", f"{what} or a folder `{split}`")])
    absent = {"train", "val"} - {*_splits_in(given)}
    # A share of the training data cannot stand in for them.
    if not isinstance(given[own], (int, float)):
        given |= {own.replace(split, name, 1): given[own] for name in absent}
    return _located(structure(given, DataConfig, "data"), folder)


def _splits_in(given: Mapping[str, Any]) -> tuple[Split, ...]:
    return tuple(name for name in get_args(Split) if name in given or f"{name}_csv" in given)


def data_keys(data: str | os.PathLike[str], split: Split | None = None) -> dict[str, Path] | None:
    """A folder or table as keys of `data`; None for all else, such as a YAML file.

    Args:
        data: A folder with one folder of images a class, or a CSV or Parquet file.
        split: Which split is wanted: of a folder with folders `train` and `val` the one of this name, if it is there,
            else the folder or table itself. None takes all such folders, else the folder or table as training data.

    Raises:
        ConfigError: There is no such table.
    """
    path = _path_of(data)
    if path.is_dir():
        splits = {name: path / name for name in get_args(Split) if (path / name).is_dir()}
        if {"train", "val"} <= splits.keys() and (split is None or split in splits):
            return {name: folder for name, folder in splits.items() if split in (None, name)}
        return {split or "train": path}
    if path.suffix.lower() not in TABLE_SUFFIXES:
        return None
    if not path.is_file():
        raise ConfigError([Problem("data", f"{path} is not a file{looked_for(path)}")])
    return {f"{split or 'train'}_csv": path}


def _lacks_validation(keys: Mapping[str, Path]) -> str:
    ((key, path),) = keys.items()
    both = f"{{'{key}': '{path}', 'val': 0.2}}, or on the command line --data.val 0.2 too"
    return f"{path} has no validation data beside the training data; give {both}; `val` is a share or a folder"


def _read(data: Mapping[str, Any] | str | os.PathLike[str]) -> tuple[Mapping[str, Any], Path | None]:
    """The keys of `data`, and the folder that relative paths are relative to, None for the working directory."""
    if isinstance(data, Mapping):
        return data, None
    if not isinstance(data, (str, os.PathLike)):
        raise ConfigError([Problem("data", f"expected a dict or the path of a YAML file, got {data!r}")])
    file = _path_of(data)
    if not file.exists():
        raise ConfigError([Problem("data", f"{file} does not exist{looked_for(file)}")])
    try:
        content = yaml.load(file.read_text(encoding="utf-8-sig"), Loader=UniqueKeyLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError([Problem("data", unreadable_yaml(file, error))]) from error
    if not isinstance(content, dict):
        what = f"{file} must hold keys such as `train` and `val`, as YAML; it holds {repr(content)[:60]}"
        raise ConfigError([Problem("data", f"{what}; a table of images is given as {{'train_csv': ...}}")])
    return content, file.parent


def _path_of(data: str | os.PathLike[str]) -> Path:
    try:
        return user_path(data)
    except PredictionArgumentError as error:
        raise ConfigError([Problem("data", str(error))]) from error


def _located(config: DataConfig, folder: Path | None) -> DataConfig:
    """The config with its paths relative to `folder`."""
    if folder is None:
        return config
    paths = {key: getattr(config, key) for key in PATH_KEYS}
    absolute: dict[str, Any] = {key: folder / path for key, path in paths.items() if isinstance(path, Path)}
    return attrs.evolve(config, **absolute)


def data_paths(config: DataConfig) -> list[Path]:
    """The folders and tables that `config` names."""
    named = (getattr(config, key) for key in PATH_KEYS)
    return [path for path in named if isinstance(path, Path)]
