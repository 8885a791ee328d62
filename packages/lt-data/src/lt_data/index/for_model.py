"""The labelled samples of one split, for a model that knows its classes."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import attrs

from lt_data.data_config import DataConfig, Split, load_split_config
from lt_data.errors import ConfigError, DatasetError, Problem, listed, nearest
from lt_data.images.decoding import Decoding
from lt_data.index.labels import check_label_columns
from lt_data.index.lookalike import lookalike
from lt_data.index.samples import SampleIndex
from lt_data.index.sources import (
    check_sources,
    is_there,
    missing_source,
    names_of,
    scan_source,
    source_of,
    splits_as_classes,
    warn_of_absent,
    with_share,
)
from lt_data.task import Classes, TaskSpec

logger = logging.getLogger(__name__)


@attrs.frozen
class LabelledSplit:
    """One split of a data set, in the classes of a model.

    Attributes:
        samples: Its images and labels.
        on_bad_image: What to do with images that cannot be read, from `data`.
    """

    samples: SampleIndex
    on_bad_image: Literal["skip", "error"]


def index_for_model(
    data: Mapping[str, Any] | str | os.PathLike[str], task: TaskSpec, *, split: Split = "val"
) -> LabelledSplit:
    """List the samples of one split for a model; what is passed over is counted in the log.

    Classes, their order, and how DICOM files and values of more than 8 bits are read are the model's. Classes of the
    model may be missing in the data; columns of one-hot tables may not, since nothing is then known of those classes.

    Args:
        data: What training takes, of which only `split` must be there; or a folder with one folder of images a class,
            or a CSV or Parquet file, which then is the split.
        task: Of the model.
        split: Which part of a dict or YAML file.

    Raises:
        ConfigError: `data` is wrong, has no such split, or names other classes or IDs than the model has.
        DatasetError: Lists everything in which the files differ from the description: classes that the model does not
            have, images that are not there.
    """
    config = load_split_config(data, split)
    ignored = _ignored(config, task.classes)
    own = task.preprocessing.decoding
    if config.decoding not in (own, Decoding()):
        logger.warning("files are read as for the model: %s; `data` has %s", own, config.decoding)
    config = attrs.evolve(config, dicom_frame=own.dicom_frame)  # the rest is for whoever reads the images
    from_share = isinstance(config.val, float) and split != "test"
    source = source_of(config, "train" if from_share else split)
    check_sources([source], task.task)
    check_label_columns(task.classes.as_dict() | ignored, config)
    if not is_there(source):
        raise DatasetError([missing_source(source)])
    if not source.is_table:
        _warn_of_absent_folders(config, source.path, task.classes)
        mistaken = [*splits_as_classes(source, task.classes.as_dict() | ignored)]
        if mistaken:
            raise DatasetError(mistaken)
    scan = scan_source(source, task.classes, ignored, config, task.task, need_all=False, origin="model")
    problems = list(scan.problems)
    if from_share and isinstance(config.val, float):
        scan = with_share({"train": scan}, config.val, config.split_seed, problems)[split]
    if problems:
        raise DatasetError(problems)
    warn_of_absent(split, scan.samples, task.classes)
    return LabelledSplit(scan.samples, config.on_bad_image)


def _ignored(config: DataConfig, classes: Classes) -> dict[int, str]:
    """Classes, by ID, that are in the data and take no part.

    Raises:
        ConfigError: `classes` are not the model's, or a class of the model shall be ignored.
    """
    names = config.classes
    if names is None:
        names = _names_to_ignore(config, classes)
    kept = config.kept_classes(names)
    ignored = {i: name for i, name in names.items() if i not in kept}
    problems = list(_foreign(kept, classes))
    for name in ignored.values():
        if name in classes.names:
            what = f"{name!r} is a class of the model, whose answers it is part of; leave it in"
            problems.append(Problem("data.ignore_classes", what))
    if problems:
        raise ConfigError(problems)
    return ignored


def _names_to_ignore(config: DataConfig, classes: Classes) -> dict[int, str]:
    """Names of `ignore_classes` by ID, where `classes` do not say them."""
    if any(isinstance(entry, int) for entry in config.ignore_classes):
        # As in training, IDs are then those of the names in the training data.
        source = source_of(config, "train")
        if not is_there(source):
            what = "class IDs need `classes`, or the training data, to say which these are; give names"
            raise ConfigError([Problem("data.ignore_classes", what)])
        found = names_of(source, config)
        return {i: name for i, name in found.items() if i in config.ignore_classes or name in config.ignore_classes}
    # Nothing asks for these IDs: where labels are IDs, `classes` are given.
    free = 1 + max(classes.ids)
    return {free + i: str(name) for i, name in enumerate(config.ignore_classes)}


def _warn_of_absent_folders(config: DataConfig, root: Path, classes: Classes) -> None:
    """Names to ignore that nothing has; one set of arguments may serve several splits, so that it is no error."""
    for name in config.ignore_classes if config.classes is None else ():
        if isinstance(name, str) and name not in classes.names and not (root / name).is_dir():
            there = [folder.name for folder in root.iterdir() if folder.is_dir() and folder.name not in classes.names]
            near = nearest(name, there)
            meant = f"; did you mean {near!r}?" if near else ""
            logger.warning("ignore_classes: %s has no folder %r%s", root, name, meant)


def _foreign(kept: Mapping[int, str], classes: Classes) -> Iterator[Problem]:
    """Entries of `data.classes` that the model has otherwise or not at all."""
    own = classes.as_dict()
    ids = {name: i for i, name in own.items()}
    for class_id, name in kept.items():
        where, hint = f"data.classes[{class_id}]", "leave `classes` out to take the model's"
        if own.get(class_id) == name:
            continue
        if name in ids:
            yield Problem(where, f"the model has {name!r} as class ID {ids[name]}; {hint}")
            continue
        near = nearest(name, classes.names)
        likely = lookalike(name, classes.names)
        known = f"did you mean {near!r}?" if near else f"it has {listed(classes.names)};"
        known = f"{likely};" if likely else known
        yield Problem(where, f"the model has no such class; {known} `ignore_classes` leaves the images of {name!r} out")
