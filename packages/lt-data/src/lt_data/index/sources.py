"""From a `DataConfig` to the classes, and the samples and problems of each split."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import get_args

import attrs
import numpy as np

from lt_data.data_config import DataConfig, Split, likely_class
from lt_data.errors import ConfigError, DatasetError, Problem, enumerated, listed, nearest, told_apart
from lt_data.files import looked_for
from lt_data.index.doubts import doubtful_counts, doubtful_names
from lt_data.index.folder import Origin, class_folders, in_natural_order, scan_folder
from lt_data.index.image_files import is_file, is_folder
from lt_data.index.labels import check_label_columns
from lt_data.index.lookalike import lookalike
from lt_data.index.samples import SampleIndex
from lt_data.index.scan import Scan
from lt_data.index.split import classes_raised, split_off
from lt_data.index.table import scan_table, table_labels
from lt_data.task import Classes, TaskName

logger = logging.getLogger(__name__)

LIKE_A_SHARE = re.compile(r"[0-9]*[.,]?[0-9]+ ?%?")
SHARE_HINT = "a share of the training samples is a number above 0 and below 1, without quotes or %, such as 0.2"

SHOWN_CLASSES = 20
"""More are counted in the log."""

SPLIT_NAMES = frozenset({"train", "val", "valid", "validation", "test"})


@attrs.frozen
class Source:
    """Where one split comes from.

    Attributes:
        split: Its name.
        path: The folder or table.
        is_table: Whether it is a CSV or Parquet file.
    """

    split: str
    path: Path
    is_table: bool


@attrs.frozen(eq=False, kw_only=True)
class SourceScan:
    """What the sources of a config hold.

    Attributes:
        classes: The classes that take part; None where the data that should name them cannot be read, or are a folder
            of splits.
        splits: What each split holds, by name: train, val, and test if there is one. None of those whose source is
            missing, nor train where its source is a folder of splits.
        problems: What is wrong with no split in particular.
    """

    classes: Classes | None
    splits: Mapping[str, Scan]
    problems: tuple[Problem, ...]

    def all_problems(self) -> list[Problem]:
        """Those of no split in particular, then those of each split."""
        return [*self.problems, *(problem for scan in self.splits.values() for problem in scan.problems)]


def scan_sources(config: DataConfig, task: TaskName, wanted: Sequence[str] = get_args(Split)) -> SourceScan:
    """Find the classes, list the samples and collect what is wrong; what is passed over is counted in the log.

    Args:
        config: Folders or tables.
        task: Multilabel needs tables.
        wanted: Splits to read if they are there, `train` among them.

    Raises:
        ConfigError: `ignore_classes` or `csv_label_columns` name no class, or multilabel is asked of folders.
    """
    if task not in get_args(TaskName):
        raise ConfigError([Problem("task", f"expected {' or '.join(map(repr, get_args(TaskName)))}, got {task!r}")])
    sources = _sources(config, task, wanted)
    there = [source for source in sources if is_there(source)]
    missing = [missing_source(source) for source in sources if source not in there]
    if sources[0] in there and not sources[0].is_table:
        mistaken = [*splits_as_classes(sources[0], config.classes or {})]
        if mistaken:
            # What else its folders and the classes from them lead to would only hide this.
            there, missing = there[1:], [*mistaken, *missing]
    if config.classes is None and sources[0] not in there:
        return SourceScan(classes=None, splits={}, problems=tuple(missing))
    try:
        names = config.classes if config.classes is not None else names_of(sources[0], config)
    except DatasetError as error:
        return SourceScan(classes=None, splits={}, problems=(*error.problems, *missing))
    kept = config.kept_classes(names)
    classes = _classes(kept)
    check_label_columns(names, config)
    ignored = {i: name for i, name in names.items() if i not in kept}
    _warn_of_the_same(there)
    origin: Origin = "train" if config.classes is None else "classes"
    splits = {
        source.split: scan_source(
            source, classes, ignored, config, task, need_all=source.split == "train", origin=origin
        )
        for source in there
    }
    if config.classes is None and config.csv_label_columns is None:
        splits["train"] = _with_doubts(sources[0], splits["train"], classes, config, task)
    problems = [*missing, *_too_few(sources[0], classes)]
    if isinstance(config.val, float) and "train" in splits:
        splits = with_share(splits, config.val, config.split_seed, problems)
    for split, scan in splits.items():
        if split != "train":
            warn_of_absent(split, scan.samples, classes)
    return SourceScan(classes=classes, splits=splits, problems=tuple(problems))


def warn_of_absent(split: str, samples: SampleIndex, classes: Classes) -> None:
    """Name the classes that no sample has."""
    absent = classes_without(samples, classes)
    if absent and len(samples):
        logger.warning("%s: no image of %s; left out of averages over classes", split, listed(absent))


def classes_without(samples: SampleIndex, classes: Classes) -> tuple[str, ...]:
    """Names of the classes that no sample has."""
    counts = np.bincount(samples.labels, minlength=len(classes))
    return tuple(name for name, count in zip(classes.names, counts, strict=True) if not count)


def _sources(config: DataConfig, task: TaskName, wanted: Sequence[str]) -> list[Source]:
    splits = ["train", *([] if isinstance(config.val, float) else ["val"])]
    splits += ["test"] if config.test is not None or config.test_csv is not None else []
    sources = [source_of(config, split) for split in splits if split in wanted]
    check_sources(sources, task)
    return sources


def source_of(config: DataConfig, split: str) -> Source:
    """Where a split comes from that is no share of another."""
    folder, table = getattr(config, split), getattr(config, f"{split}_csv")
    return Source(split, folder if table is None else table, is_table=table is not None)


def check_sources(sources: Sequence[Source], task: TaskName) -> None:
    """Refuse folders for multilabel tasks.

    Raises:
        ConfigError: One is a folder; names the keys that are needed.
    """
    if task == "multilabel" and not all(source.is_table for source in sources):
        needed = listed([f"`{source.split}_csv`" for source in sources])
        raise ConfigError([Problem("data", f"multilabel needs {needed}: a folder gives one label an image")])


def is_there(source: Source) -> bool:
    """Whether there is such a folder or file."""
    # Methods of Path raise where a folder on the way may not be entered.
    return os.path.isfile(source.path) if source.is_table else os.path.isdir(source.path)  # noqa: PTH112, PTH113


def missing_source(source: Source) -> Problem:
    """What to say of one that is not there."""
    key, kind = (f"{source.split}_csv", "file") if source.is_table else (source.split, "folder")
    if key == "val" and LIKE_A_SHARE.fullmatch(source.path.name):
        return Problem("data.val", f"{source.path} is not a folder; {SHARE_HINT}")
    return Problem(f"data.{key}", f"{source.path} is not a {kind}{looked_for(source.path)}{_near(source)}")


def _near(source: Source) -> str:
    """The folder or file beside a missing one that is called most like it."""
    try:
        with os.scandir(source.path.parent) as entries:
            names = [entry.name for entry in entries if (is_file if source.is_table else is_folder)(entry)]
    except OSError:
        return ""
    name = source.path.name
    near = nearest(name, names)
    likely = lookalike(name, names) or (f"did you mean `{near}`?" if near else None)
    return f"; {likely}" if likely else ""


def _warn_of_the_same(sources: Sequence[Source]) -> None:
    for i, source in enumerate(sources):
        for other in sources[:i]:
            if source.path.resolve() == other.path.resolve():
                what = "%s and %s are the same: scores say nothing about other images"
                logger.warning(what, other.split, source.split)


def _classes(names: Mapping[int, str]) -> Classes:
    try:
        return Classes.from_mapping(names)
    except ValueError as error:
        raise ConfigError([Problem("data.classes", str(error))]) from error


def names_of(source: Source, config: DataConfig) -> dict[int, str]:
    """Classes that were left out of `data`, from the training split."""
    if source.is_table and config.csv_label_type == "id":
        raise ConfigError([Problem("data.classes", 'is required with csv_label_type="id": IDs have no names')])
    if source.is_table and config.csv_label_columns is not None:
        found = list(config.csv_label_columns)
    else:
        found = in_natural_order(table_labels(source.path, config)) if source.is_table else class_folders(source.path)
    names = dict(enumerate(found))
    unknown = [entry for entry in config.ignore_classes if entry not in {*names, *names.values()}]
    if unknown:
        what = f"is not a class of {source.path}"
        told = [f"{entry!r} {what}; {likely_class(entry, names)}" for entry in unknown]
        raise ConfigError([Problem("data.ignore_classes", text) for text in told])
    if not config.kept_classes(names):
        raise DatasetError([_few(source, [])])
    numbered = [f"{i}: {told_apart(name)}" for i, name in names.items()]
    logger.info("classes: taken from %s, %s", source.path, enumerated(numbered, SHOWN_CLASSES))
    return names


def _with_doubts(source: Source, scan: Scan, classes: Classes, config: DataConfig, task: TaskName) -> Scan:
    """Warn of classes from the training data that may be mistyped, and note it."""
    doubts = [*doubtful_names(classes.names, config, task, from_table=source.is_table)]
    if not scan.problems:
        doubts += doubtful_counts(scan.samples, classes.names)
    for doubt in doubts:
        logger.warning("%s: %s", source.split, doubt)
    return attrs.evolve(scan, notes=(*scan.notes, *doubts))


def splits_as_classes(source: Source, classes: Mapping[int, str]) -> Iterator[Problem]:
    """What to say of a folder whose folders are the splits, unless `classes` name them."""
    try:
        found = class_folders(source.path)
    except DatasetError:
        return  # the scan of the folder tells it
    names = [name for name in found if name.lower() in SPLIT_NAMES and name not in classes.values()]
    if len(names) < 2:
        return
    where = f"data.{source.split}"
    same = next((source.path / name for name in names if name.lower() == source.split), None)
    meant = f"did you mean {where}={same}?" if same else f"{where} is the folder that holds the class folders."
    otherwise = " If they are classes, name them in `classes`" if source.split == "train" else ""
    yield Problem(where, f"its folders look like splits; {meant}{otherwise}")


def _too_few(source: Source, classes: Classes) -> list[Problem]:
    return [_few(source, classes.names)] if len(classes) < 2 else []


def _few(source: Source, names: Sequence[str]) -> Problem:
    what = f"at least two classes are needed, ignored ones aside; found {listed(names) or 'none'}"
    return Problem(str(source.path), what)


def scan_source(
    source: Source,
    classes: Classes,
    ignored: Mapping[int, str],
    config: DataConfig,
    task: TaskName,
    *,
    need_all: bool,
    origin: Origin,
) -> Scan:
    """List one split, and log what was passed over; `need_all` makes a class without an image a problem.

    `origin` is where the classes come from.
    """
    if source.is_table:
        grouped = source.split == "train" and config.split_group_column is not None
        scan = scan_table(source.path, classes, ignored, config, task, grouped=grouped)
        without = classes_without(scan.samples, classes) if need_all and not scan.problems else ()
        hint = "add it to `ignore_classes` to train without it"
        more = tuple(Problem(str(source.path), f"has no row of class {name!r}; {hint}") for name in without)
        scan = attrs.evolve(scan, problems=scan.problems + more)
    else:
        names, frame = frozenset(ignored.values()), config.dicom_frame
        scan = scan_folder(source.path, classes, names, need_all=need_all, dicom_frame=frame, origin=origin)
    logger.info("%s: %d images in %s", source.split, len(scan.samples), source.path)
    for note in scan.notes:
        logger.info("%s: %s", source.split, note)
    for doubt in scan.doubts:
        logger.warning("%s: %s", source.split, doubt)
    return scan


def with_share(splits: Mapping[str, Scan], share: float, seed: int, problems: list[Problem]) -> dict[str, Scan]:
    """The splits with `val` taken from `train`."""
    train = splits["train"]
    chosen = split_off(train.samples, share, seed, train.groups)
    if not chosen.any() and not train.problems:
        groups = "" if train.groups is None else f" in {len(np.unique(train.groups))} groups"
        what = f"a share of {share:g} of {len(chosen)} samples{groups} leaves validation without any"
        problems.append(Problem("data.val", what))
    single = np.bincount(train.samples.labels, minlength=train.samples.num_classes) == 1
    if len(chosen):
        logger.info("val: %d of %d training samples, split off with seed %d", chosen.sum(), len(chosen), seed)
    raised = classes_raised(train.samples, share, train.groups)
    if raised:
        what = "val: more than the share of %g: of %d classes it is less than half a sample, yet each gives one"
        logger.info(what + ", so that validation has it", share, raised)
    if single.any():
        logger.info("val: %d classes have one sample, which stays in train", single.sum())
    val = Scan(samples=train.samples.take(np.flatnonzero(chosen)))
    kept = attrs.evolve(train, samples=train.samples.take(np.flatnonzero(~chosen)), groups=None)
    return {"train": kept, "val": val, **{name: scan for name, scan in splits.items() if name != "train"}}
