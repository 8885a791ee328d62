"""A folder with one folder of images a class."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import attrs
import numpy as np

from lt_data.errors import DatasetError, Problem, nearest
from lt_data.images.formats import is_image_name
from lt_data.index.samples import SampleIndex
from lt_data.task import Classes


@attrs.frozen
class FolderScan:
    """What a folder holds.

    Attributes:
        samples: The images, ordered by relative path.
        passed_over: How many files of other kinds were seen, by suffix.
    """

    samples: SampleIndex
    passed_over: Counter[str]


def class_folders(root: Path) -> list[str]:
    """Names of the class folders of `root` in natural order (`2` before `10`), hidden ones left out.

    Raises:
        DatasetError: `root` is not a folder.
    """
    try:
        with os.scandir(root) as entries:
            names = [entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    except OSError as error:
        raise DatasetError([Problem(str(root), f"cannot be read as a folder: {error.strerror}")]) from error
    return sorted(names, key=natural)


def scan_folder(root: Path, classes: Classes, ignored: frozenset[str], *, need_all: bool) -> FolderScan:
    """List the images of a folder with one folder a class, at any depth below it.

    Links are followed, a folder reached twice within a class counts once, and nothing but directories is opened.

    Args:
        root: The folder.
        classes: Classes to look for, by folder name.
        ignored: Folder names that are known but take no part.
        need_all: Whether each class must have an image, as in training.

    Raises:
        DatasetError: Names every folder that is not a class, class without a folder or image, image outside a class
            folder, and link that leads nowhere.
    """
    found = class_folders(root)
    problems = _name_problems(root, found, classes, ignored, need_all=need_all)
    passed_over: Counter[str] = Counter()
    paths: list[str] = []
    counts: list[int] = []
    present = set(found)
    for name in classes.names:
        before = len(paths)
        if name in present:
            paths.extend(sorted(_images_below(root, name, passed_over, problems)))
        counts.append(len(paths) - before)
    problems.extend(_loose_images(root))
    empty = tuple(name for name, count in zip(classes.names, counts, strict=True) if count == 0)
    if not paths:
        problems.append(Problem(str(root), "no image found in the class folders"))
    elif need_all:
        without = (name for name in empty if name in present)
        problems.extend(Problem(str(root / name), "no image found in this class folder") for name in without)
    if problems:
        raise DatasetError(problems)
    labels = np.repeat(np.arange(len(classes), dtype=np.int32), counts)
    return FolderScan(SampleIndex.from_paths(root, paths, labels, num_classes=len(classes)), passed_over)


def _name_problems(
    root: Path, found: list[str], classes: Classes, ignored: frozenset[str], *, need_all: bool
) -> list[Problem]:
    problems = []
    known, present = {*classes.names, *ignored}, set(found)
    for name in found:
        if name not in known:
            near = nearest(name, classes.names)
            hint = f" (did you mean `{near}`?)" if near else ""
            what = f"this folder is not in `classes`{hint}; add it there, or to `ignore_classes` too to leave it out"
            problems.append(Problem(str(root / name), what))
    for name in classes.names if need_all else ():
        if name not in present:
            near = nearest(name, found)
            hint = f" (there is `{near}`)" if near else ""
            problems.append(Problem(str(root / name), f"class `{name}` has no such folder{hint}"))
    return problems


def _images_below(root: Path, name: str, passed_over: Counter[str], problems: list[Problem]) -> Iterator[str]:
    """Paths, relative to `root`, of the images at any depth below the folder `name`."""
    seen: set[tuple[int, int]] = set()
    pending = [name]
    while pending:
        folder = pending.pop()
        try:
            status = os.stat(root / folder)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(root / folder) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        passed_over["hidden"] += 1
                    elif is_image_name(entry.name) and entry.is_file():
                        yield f"{folder}/{entry.name}"
                    elif entry.is_dir():
                        pending.append(f"{folder}/{entry.name}")
                    elif is_image_name(entry.name):
                        problems.append(Problem(entry.path, "is not a file: a link to nowhere, a pipe or a device"))
                    else:
                        passed_over[os.path.splitext(entry.name)[1].lower() or "no suffix"] += 1
        except OSError as error:
            problems.append(Problem(str(root / folder), f"cannot be read: {error.strerror}"))


def _loose_images(root: Path) -> list[Problem]:
    with os.scandir(root) as entries:
        loose = sum(not entry.name.startswith(".") and is_image_name(entry.name) for entry in entries)
    if not loose:
        return []
    return [Problem(str(root), f"images outside the class folders: {loose}; move them into one, or away")]


def natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key that puts `2` before `10`."""
    parts = re.split(r"([0-9]+)", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]
