"""Real images for calibration and verification."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from lt_data import DatasetError, ImageLike, SampleIndex, TaskSpec, scan_folder, scan_images, user_path
from lt_export.errors import ExportError

logger = logging.getLogger(__name__)

Images = Sequence[ImageLike] | str | os.PathLike[str]
Labels = Sequence[int] | Sequence[Collection[int]]


@attrs.frozen(eq=False)
class Samples:
    """Images and what is on them.

    Attributes:
        images: At least one.
        truth: Index of each image's class, int64 of shape (N,); or for multilabel whether it has each class, bool of
            shape (N, classes). None when it is not known.
    """

    images: Sequence[ImageLike]
    truth: npt.NDArray[Any] | None


def find_samples(images: Images, labels: Labels | None, task: TaskSpec) -> Samples:
    """What the arguments `images` and `labels` of an export mean.

    Args:
        images: A list of images, or a folder: with class folders in it, as in training, they give the labels.
        labels: Class IDs: one for each image, or for multilabel any number.
        task: The classes.

    Raises:
        ExportError: There is no image, or labels do not fit the images or classes.
        DatasetError: The folder cannot be read, or not all of its folders are classes.
    """
    if not isinstance(images, (str, os.PathLike, Sequence, np.ndarray)) or isinstance(images, bytes):
        raise ExportError(f"`images` must be a list of images or a folder, got {type(images).__name__}")
    found = (
        _in_folder(user_path(images), task) if isinstance(images, (str, os.PathLike)) else Samples(list(images), None)
    )
    if not len(found.images):
        raise ExportError("`images` has no image")
    if labels is None:
        return found
    if not isinstance(labels, (Sequence, np.ndarray)):
        raise ExportError(f"`labels` must be a list with an entry for each image, got {type(labels).__name__}")
    if len(labels) != len(found.images):
        raise ExportError(f"`labels` has {len(labels)} entries for {len(found.images)} images")
    return Samples(found.images, _truth(labels, task))


def _in_folder(root: Path, task: TaskSpec) -> Samples:
    frame = task.preprocessing.decoding.dicom_frame
    names = set(task.classes.names)
    if task.task == "multiclass" and root.is_dir() and any(entry.name in names for entry in root.iterdir()):
        scan = scan_folder(root, task.classes, frozenset(), need_all=False, dicom_frame=frame)
        if scan.problems:
            raise DatasetError(scan.problems)
        return Samples(_images(scan.samples), scan.samples.labels.astype(np.int64))
    logger.info("%s: has no class folders, so nothing is known of what is on its images", root)
    return Samples(_images(scan_images(root, dicom_frame=frame).samples), None)


def _images(samples: SampleIndex) -> list[ImageLike]:
    return [samples.image(i) for i in range(len(samples))]


def _truth(labels: Labels, task: TaskSpec) -> npt.NDArray[Any]:
    places = {label: place for place, label in enumerate(task.classes.ids)}
    if task.task == "multiclass":
        return np.array([_place(label, places) for label in labels], dtype=np.int64)
    truth = np.zeros((len(labels), len(places)), dtype=bool)
    for row, of_image in enumerate(labels):
        if not isinstance(of_image, Collection):
            raise ExportError(
                f"each entry of `labels` must be a list of class IDs for a multilabel model, got {of_image}"
            )
        truth[row, [_place(label, places) for label in of_image]] = True
    return truth


def _place(label: object, places: Mapping[int, int]) -> int:
    if not isinstance(label, (int, np.integer)) or int(label) not in places:
        known = ", ".join(map(str, list(places)[:10]))
        raise ExportError(f"`labels` must be class IDs, of {known}, got {label!r}")
    return places[int(label)]
