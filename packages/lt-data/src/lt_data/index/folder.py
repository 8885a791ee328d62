"""A folder with one folder of images a class."""

from __future__ import annotations

import os
import re
from bisect import insort
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

from lt_data.errors import DatasetError, Problem, listed, nearest
from lt_data.files import looked_for
from lt_data.images.decoding import DicomFrame
from lt_data.images.formats import is_image_name, may_be_dicom, sniff_dicom
from lt_data.index.dicom import expand_dicom
from lt_data.index.image_files import is_dicom_name, is_file, is_folder
from lt_data.index.lookalike import lookalike
from lt_data.index.samples import SampleIndex
from lt_data.index.scan import Scan
from lt_data.task import Classes

Origin: TypeAlias = Literal["classes", "train", "model"]
"""What says which classes there are: the key `classes`, the training data, or a trained model."""

UNKNOWN_FOLDER: Mapping[Origin, tuple[str, str]] = {
    "classes": ("this folder is not in `classes`", "add it there, or to `ignore_classes` too to leave it out"),
    "train": ("the training data have no such class", "rename this folder or move it away"),
    "model": ("the model has no such class", "`ignore_classes` leaves its images out"),
}
"""What is wrong with a folder that is no class, and what to do."""

_DIGITS = frozenset("0123456789")

SHOWN_HIDDEN = 3


@attrs.define
class _Hidden:
    """How many files and folders are hidden, and the first by name: a set from a Mac may have one for each image."""

    count: int = 0
    first: list[str] = attrs.field(factory=list)

    def add(self, path: str) -> None:
        self.count += 1
        insort(self.first, path)
        del self.first[SHOWN_HIDDEN:]


@attrs.frozen
class _Found:
    """What a walk through a folder finds: DICOM files by content, what is no image, and problems."""

    sniffed: set[str] = attrs.field(factory=set)
    passed_over: Counter[str] = attrs.field(factory=Counter)
    hidden: _Hidden = attrs.field(factory=_Hidden)
    problems: list[Problem] = attrs.field(factory=list)


def class_folders(root: Path) -> list[str]:
    """Names of the class folders of `root` in natural order (`2` before `10`), hidden ones left out.

    Raises:
        DatasetError: `root` is not a folder.
    """
    try:
        with os.scandir(root) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".") and is_folder(entry)]
    except OSError as error:
        raise DatasetError([Problem(str(root), f"cannot be read as a folder: {error.strerror}")]) from error
    return in_natural_order(names)


def scan_folder(
    root: Path,
    classes: Classes,
    ignored: frozenset[str],
    *,
    need_all: bool,
    dicom_frame: DicomFrame = "middle",
    origin: Origin = "classes",
) -> Scan:
    """List the images of a folder with one folder a class, at any depth below it, ordered by class and path.

    Links are followed, a folder reached twice within a class counts once, and no file is opened, except those that may
    be DICOM. What is wrong is reported: every folder that is not a class, class without a folder or image, image
    outside a class folder, and link that leads nowhere.

    Args:
        root: The folder.
        classes: Classes to look for, by folder name.
        ignored: Folder names that are known but take no part.
        need_all: Whether each class must have an image, as in training.
        dicom_frame: Which frame of a DICOM file with several; `"all"` makes each a sample.
        origin: Where the classes come from, for messages.
    """
    found = _Found()
    try:
        images = _images_by_class(root, classes, ignored, found, need_all=need_all, origin=origin)
    except DatasetError as error:
        found.problems.extend(error.problems)
        images = [[] for _ in classes.names]
    paths = [path for of_class in images for path in of_class]
    labels = np.repeat(np.arange(len(classes), dtype=np.int32), [len(of_class) for of_class in images])
    return _scan_of(root, paths, labels, len(classes), found, dicom_frame)


def scan_images(root: Path, *, dicom_frame: DicomFrame = "middle") -> Scan:
    """List all images at any depth below a folder, ordered by path; as `scan_folder`, but without classes.

    Raises:
        DatasetError: `root` is not a folder.
    """
    if not root.is_dir():
        raise DatasetError([Problem(str(root), f"is not a folder{looked_for(root)}")])
    found = _Found()
    paths = sorted(_images_below(root, "", found))
    return _scan_of(root, paths, np.zeros(len(paths), dtype=np.int32), 1, found, dicom_frame)


def _scan_of(
    root: Path,
    paths: list[str],
    labels: npt.NDArray[np.int32],
    num_classes: int,
    found: _Found,
    dicom_frame: DicomFrame,
) -> Scan:
    samples = SampleIndex.from_paths(root, paths, labels, num_classes=num_classes)
    notes = _notes(found)
    dicom = found.sniffed | {path for path in paths if is_dicom_name(path)}
    if not dicom:
        return Scan(samples=samples, problems=tuple(found.problems), notes=notes)
    expansion = expand_dicom(root, paths, dicom, dicom_frame)
    return Scan(
        samples=attrs.evolve(samples.take(expansion.rows), frames=expansion.frames),
        problems=(*found.problems, *expansion.problems),
        groups=expansion.rows,
        notes=notes,
    )


def _notes(found: _Found) -> tuple[str, ...]:
    notes = []
    if found.passed_over:
        kinds = ", ".join(f"{count} x {suffix}" for suffix, count in found.passed_over.most_common())
        notes.append(f"passed over files that have no ending of an image, by ending: {kinds}")
    if found.hidden.count:
        more = f" and {found.hidden.count - SHOWN_HIDDEN} more" if found.hidden.count > SHOWN_HIDDEN else ""
        names = ", ".join(found.hidden.first) + more
        notes.append(
            f"passed over hidden files or folders, whose names begin with a dot: {found.hidden.count} ({names})"
        )
    return tuple(notes)


def _images_by_class(
    root: Path, classes: Classes, ignored: frozenset[str], found: _Found, *, need_all: bool, origin: Origin
) -> list[list[str]]:
    present = class_folders(root)
    known = set(present)
    found.problems.extend(_name_problems(root, present, classes, ignored, need_all=need_all, origin=origin))
    images = [sorted(_images_below(root, name, found)) if name in known else [] for name in classes.names]
    found.problems.extend(_loose_images(root))
    if not any(images):
        # Folders that are no class are told already; that the images in them were passed over would mislead.
        unknown = known - {*classes.names, *ignored}
        if not any(_has_image(root, name) for name in unknown):
            found.problems.append(Problem(str(root), "no image found in the class folders"))
    elif need_all:
        blamed = {Path(problem.where).relative_to(root).parts[:1] for problem in found.problems}
        for name, of_class in zip(classes.names, images, strict=True):
            if name in known and not of_class and (name,) not in blamed:
                found.problems.append(Problem(str(root / name), "no image found in this class folder"))
    return images


def _has_image(root: Path, name: str) -> bool:
    return next(_images_below(root, name, _Found()), None) is not None


def _name_problems(
    root: Path, found: list[str], classes: Classes, ignored: frozenset[str], *, need_all: bool, origin: Origin
) -> Iterator[Problem]:
    known, present = {*classes.names, *ignored}, set(found)
    wrong, remedy = UNKNOWN_FOLDER[origin]
    for name in found:
        if name not in known:
            near = nearest(name, classes.names)
            likely = lookalike(name, classes.names) or (f"did you mean `{near}`?" if near else None)
            hint = f" ({likely})" if likely else ""
            yield Problem(str(root / name), f"{wrong}{hint}; {remedy}")
    for name in classes.names if need_all else ():
        if name not in present:
            near = nearest(name, found)
            likely = lookalike(name, found) or (f"there is `{near}`" if near else None)
            hint = f" ({likely})" if likely else ""
            yield Problem(str(root / name), f"class `{name}` has no such folder{hint}")


def _images_below(root: Path, name: str, found: _Found) -> Iterator[str]:
    """Paths, relative to `root`, of the images at any depth below the folder `name`, or below `root` if it is empty."""
    above = {_identity(folder) for folder in (*([root] if name else []), *root.resolve().parents)}
    seen: set[tuple[int, int]] = set()
    pending = [name]
    while pending:
        folder = pending.pop()
        try:
            identity = _identity(root / folder)
            if identity in above:
                found.problems.append(Problem(str(root / folder), "is a link to a folder that holds this one"))
            if identity in seen or identity in above:
                continue
            seen.add(identity)
            below = []
            with os.scandir(root / folder) as entries:
                for entry in entries:
                    path = f"{folder}/{entry.name}" if folder else entry.name
                    if entry.name.startswith("."):
                        found.hidden.add(path)
                    elif _is_image(entry, path, found):
                        yield path
                    elif is_folder(entry):
                        below.append(path)
            # Of two ways to one folder the first by name counts, whatever order the file system has.
            pending.extend(sorted(below, reverse=True))
        except OSError as error:
            found.problems.append(Problem(str(root / folder), f"cannot be read: {error.strerror}"))


def _identity(folder: Path) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _is_image(entry: os.DirEntry[str], path: str, found: _Found) -> bool:
    """Whether an entry of a class folder is an image; what else it is, folders aside, is noted."""
    if is_image_name(entry.name):
        if is_file(entry):
            return True
        if not is_folder(entry):
            what = "is not a file: a link to nowhere or in a circle, a pipe or a device"
            found.problems.append(Problem(entry.path, what))
    elif may_be_dicom(entry.name) and is_file(entry) and sniff_dicom(entry.path):
        found.sniffed.add(path)
        return True
    elif not is_folder(entry):
        found.passed_over[os.path.splitext(entry.name)[1].lower() or "no suffix"] += 1
    return False


def _loose_images(root: Path) -> list[Problem]:
    with os.scandir(root) as entries:
        loose = sorted(e.name for e in entries if not e.name.startswith(".") and is_image_name(e.name))
    if not loose:
        return []
    return [Problem(str(root), f"images outside the class folders: {listed(loose, 5)}; move them into one, or away")]


def in_natural_order(names: Iterable[str]) -> list[str]:
    """Names sorted such that `2` comes before `10`."""
    return sorted(sorted(names), key=_natural)


def _natural(name: str) -> list[tuple[int, int, str]]:
    # Numbers as text, shorter before longer: int() refuses thousands of digits.
    parts = ((part, part.lstrip("0")) for part in re.split(r"([0-9]+)", name))
    return [(0, len(number), number) if part[:1] in _DIGITS else (1, 0, part) for part, number in parts]
