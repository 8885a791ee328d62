"""From a `DataConfig` to the classes and samples of a run."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import attrs

from lt_data.data_config import DataConfig
from lt_data.errors import ConfigError, DatasetError, Problem, listed
from lt_data.index.csv import csv_labels, scan_csv
from lt_data.index.folder import class_folders, natural, scan_folder
from lt_data.index.samples import SampleIndex
from lt_data.task import Classes, TaskName

logger = logging.getLogger(__name__)


@attrs.frozen
class DatasetIndex:
    """Classes and samples of a data set.

    Attributes:
        classes: The classes that take part, in output order.
        train: Samples to train on.
        val: Samples to validate on.
    """

    classes: Classes
    train: SampleIndex
    val: SampleIndex


@attrs.frozen
class _Source:
    """Where one split comes from."""

    split: str
    path: Path
    is_csv: bool


def build_index(config: DataConfig, task: TaskName = "multiclass") -> DatasetIndex:
    """Find the classes and list the samples that `config` describes; what is passed over is counted in the log.

    Args:
        config: Folders or CSV files.
        task: Multilabel needs CSV files.

    Raises:
        ConfigError: `ignore_classes` names no class, or multilabel is asked of folders.
        DatasetError: Lists everything in which the data differ from the description, over all splits.
    """
    sources = [_source(config, split) for split in ("train", "val")]
    _check_sources(sources, task)
    names = config.classes if config.classes is not None else _names_of(sources[0], config)
    kept = config.kept_classes(names)
    classes = Classes.from_mapping(kept)
    ignored = {i: name for i, name in names.items() if i not in kept}
    found: list[SampleIndex] = []
    problems: list[Problem] = []
    for source in sources:
        try:
            found.append(_scan(source, classes, ignored, config, task))
        except DatasetError as error:
            problems.extend(error.problems)
    if problems:
        raise DatasetError(problems)
    return DatasetIndex(classes, *found)


def _source(config: DataConfig, split: str) -> _Source:
    folder, table = getattr(config, split), getattr(config, f"{split}_csv")
    return _Source(split, folder if table is None else table, is_csv=table is not None)


def _check_sources(sources: list[_Source], task: TaskName) -> None:
    if task == "multilabel" and not all(source.is_csv for source in sources):
        raise ConfigError([Problem("data", "multilabel needs `train_csv` and `val_csv`: a folder gives one label")])
    missing = []
    for source in sources:
        if source.is_csv and not source.path.is_file():
            missing.append(Problem(f"data.{source.split}_csv", f"{source.path} is not a file"))
        elif not source.is_csv and not source.path.is_dir():
            missing.append(Problem(f"data.{source.split}", f"{source.path} is not a folder"))
    if missing:
        raise DatasetError(missing)
    if sources[0].path.resolve() == sources[1].path.resolve():
        logger.warning("train and val are the same: validation says nothing about other images")


def _names_of(source: _Source, config: DataConfig) -> dict[int, str]:
    """Classes that were left out of `data`, from the training split."""
    if source.is_csv and config.csv_label_type == "id":
        raise ConfigError([Problem("data.classes", 'is required with csv_label_type="id": IDs have no names')])
    found = sorted(csv_labels(source.path, config), key=natural) if source.is_csv else class_folders(source.path)
    names = dict(enumerate(found))
    unknown = [entry for entry in config.ignore_classes if entry not in {*names, *names.values()}]
    if unknown:
        what = f"is not a class of {source.path}"
        raise ConfigError([Problem("data.ignore_classes", f"{entry!r} {what}") for entry in unknown])
    if len(config.kept_classes(names)) < 2:
        kept = listed(list(config.kept_classes(names).values())) or "none"
        what = f"at least two classes are needed, ignored ones aside; found {kept}"
        raise DatasetError([Problem(str(source.path), what)])
    logger.info("classes: taken from %s, %s", source.path, listed([f"{i}: {name}" for i, name in names.items()], 20))
    return names


def _scan(
    source: _Source, classes: Classes, ignored: Mapping[int, str], config: DataConfig, task: TaskName
) -> SampleIndex:
    """List one split, and log what was passed over."""
    if source.is_csv:
        samples = _scan_csv(source, classes, ignored, config, task)
    else:
        samples = _scan_folder(source, classes, ignored)
    empty = _classes_without(samples, classes)
    if empty:
        logger.warning("%s: no image of %s; left out of averages over classes", source.split, listed(empty))
    return samples


def _scan_csv(
    source: _Source, classes: Classes, ignored: Mapping[int, str], config: DataConfig, task: TaskName
) -> SampleIndex:
    table = scan_csv(source.path, classes, ignored, config, task)
    logger.info("%s: %d images in %s", source.split, len(table.samples), source.path)
    for count, what in (
        (table.ignored, "rows left out, all their labels are ignored"),
        (table.absolute, "rows with absolute paths"),
        (table.negatives, "rows without a label, kept as negatives"),
    ):
        if count:
            logger.info("%s: %d %s", source.split, count, what)
    without = _classes_without(table.samples, classes) if source.split == "train" else ()
    if without:
        hint = "add it to `ignore_classes` to train without it"
        raise DatasetError([Problem(str(source.path), f"has no row of class {name!r}; {hint}") for name in without])
    return table.samples


def _scan_folder(source: _Source, classes: Classes, ignored: Mapping[int, str]) -> SampleIndex:
    folder = scan_folder(source.path, classes, frozenset(ignored.values()), need_all=source.split == "train")
    logger.info("%s: %d images in %s", source.split, len(folder.samples), source.path)
    if folder.passed_over:
        kinds = ", ".join(f"{count} x {suffix}" for suffix, count in folder.passed_over.most_common())
        logger.info("%s: passed over files that are not images: %s", source.split, kinds)
    return folder.samples


def _classes_without(samples: SampleIndex, classes: Classes) -> tuple[str, ...]:
    used = set(samples.labels.tolist())
    return tuple(name for i, name in enumerate(classes.names) if i not in used)
