"""From a `DataConfig` to the classes and samples of a run."""

from __future__ import annotations

import logging
from pathlib import Path

import attrs

from lt_data.config import DataConfig
from lt_data.errors import ConfigError, DatasetError, Problem, listed
from lt_data.index.folder import FolderScan, class_folders, scan_folder
from lt_data.index.samples import SampleIndex
from lt_data.task import Classes

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


def build_index(config: DataConfig) -> DatasetIndex:
    """Find the classes and list the samples that `config` describes; what is passed over is counted in the log.

    Raises:
        ConfigError: `ignore_classes` names no class, or fewer than two classes are left.
        DatasetError: Lists everything in which the folders differ from the description, over all splits.
    """
    splits = {"train": config.train, "val": config.val}
    folders = {split: folder for split, folder in splits.items() if folder is not None}
    missing = [Problem(f"data.{s}", f"{f} is not a folder") for s, f in folders.items() if not f.is_dir()]
    if missing:
        raise DatasetError(missing)
    if config.classes is None:
        config = attrs.evolve(config, classes=_names_of(folders["train"], config))
    assert config.classes is not None
    kept = config.kept_classes(config.classes)
    classes = Classes.from_mapping(kept)
    ignored = frozenset(config.classes.values()) - frozenset(kept.values())
    scans: dict[str, FolderScan] = {}
    problems: list[Problem] = []
    for split, folder in folders.items():
        try:
            scans[split] = scan_folder(folder, classes, ignored, need_all=split == "train")
        except DatasetError as error:
            problems.extend(error.problems)
    if problems:
        raise DatasetError(problems)
    if folders["train"].resolve() == folders["val"].resolve():
        logger.warning("train and val are the same folder: validation says nothing about other images")
    for split, scan in scans.items():
        _log_scan(split, folders[split], scan, classes)
    return DatasetIndex(classes, scans["train"].samples, scans["val"].samples)


def _names_of(train: Path, config: DataConfig) -> dict[int, str]:
    names = dict(enumerate(class_folders(train)))
    unknown = [entry for entry in config.ignore_classes if entry not in {*names, *names.values()}]
    if unknown:
        raise ConfigError([Problem("data.ignore_classes", f"{entry!r} is not a class of {train}") for entry in unknown])
    if len(config.kept_classes(names)) < 2:
        kept = listed(list(config.kept_classes(names).values())) or "none"
        raise DatasetError([Problem(str(train), f"at least two classes are needed, ignored ones aside; found {kept}")])
    logger.info("classes: taken from %s, %s", train, listed([f"{i}: {name}" for i, name in names.items()], 20))
    return names


def _log_scan(split: str, folder: Path, scan: FolderScan, classes: Classes) -> None:
    logger.info("%s: %d images of %d classes in %s", split, len(scan.samples), len(classes) - len(scan.empty), folder)
    if scan.passed_over:
        kinds = ", ".join(f"{count} x {suffix}" for suffix, count in scan.passed_over.most_common())
        logger.info("%s: passed over files that are not images: %s", split, kinds)
    if scan.empty:
        logger.warning("%s: no image of %s; left out of averages over classes", split, listed(scan.empty))
