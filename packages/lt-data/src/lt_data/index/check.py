"""The data check: everything that is wrong with a data set, before training."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import attrs
import numpy as np
import numpy.typing as npt

from lt_data.data_config import DataConfig, Split, load_given_config
from lt_data.errors import Problem
from lt_data.index.check_files import FileFindings, alike, read_files
from lt_data.index.check_report import (
    ASPECT_LIMIT,
    SHORT_SIDE,
    DataReport,
    Duplicates,
    ImageSize,
    Sizes,
    SplitReport,
)
from lt_data.index.samples import SampleIndex
from lt_data.index.scan import Scan
from lt_data.index.sources import scan_sources
from lt_data.task import Classes, TaskName

TRUNCATED = ("truncated", "not enough image data", "is cut")
"""What decoders say of files that end too early."""


@attrs.frozen(eq=False)
class _Read:
    """A split whose files have been read."""

    split: str
    samples: SampleIndex
    files: FileFindings


def check(
    data: DataConfig | Mapping[str, Any] | str | os.PathLike[str],
    task: TaskName = "multiclass",
    *,
    num_channels: int = 3,
    num_workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> DataReport:
    """Read a whole data set and report everything that is wrong with it; nothing is changed.

    What `build_index` would raise is in the report, and the rest of the data is still looked at: every image is
    decoded, and files with the same bytes are found, within a split and across splits.

    Args:
        data: As in training: a `DataConfig`, a dict, or the path of a YAML file; validation data need not be there. Or
            a folder with folders `train` and `val`, each with one folder of images a class; or one such folder of class
            folders, or a CSV or Parquet file, which is checked as training data alone.
        task: `"multiclass"` or `"multilabel"`.
        num_channels: As images are read in training: 1 grey, 3 RGB, 4 RGBA; other numbers must be the images' own.
        num_workers: Number of threads that read; None for one a CPU core.
        progress: Called now and then with the number of images read and of all images.

    Returns:
        Counts, problems, unreadable files, duplicates and odd shapes; print it for a table.

    Raises:
        ConfigError: `data` itself is wrong, whatever the files are.
    """
    config, there = (data, get_args(Split)) if isinstance(data, DataConfig) else load_given_config(data)
    found = scan_sources(config, task, there)
    classes = found.classes
    if classes is None:
        return DataReport(task=task, problems=found.problems, splits=(), leaks=())
    total, done = sum(len(scan.samples) for scan in found.splits.values()), 0
    read: list[_Read] = []
    for split, scan in found.splits.items():
        tell = _teller(progress, done, total)
        files = read_files(scan.samples, num_channels, config.decoding, num_workers, tell)
        read.append(_Read(split, scan.samples, files))
        done += len(scan.samples)
    splits = tuple(_split_report(part, found.splits[part.split], classes) for part in read)
    return DataReport(task=task, problems=found.problems, splits=splits, leaks=_duplicates(read, across=True))


def _teller(progress: Callable[[int, int], None] | None, before: int, total: int) -> Callable[[int], None]:
    if progress is None:
        return lambda count: None
    return lambda count: progress(before + count, total)


def _split_report(part: _Read, scan: Scan, classes: Classes) -> SplitReport:
    samples, files = part.samples, part.files
    counts = np.bincount(samples.labels, minlength=len(classes))
    present = counts[counts > 0]
    failures = [(Problem(_name(samples, i), why), _is_truncated(why)) for i, why in files.failures.items()]
    short, long = files.sizes.min(axis=1), files.sizes.max(axis=1)
    return SplitReport(
        split=part.split,
        samples=len(samples),
        counts=dict(zip(classes.names, counts.tolist(), strict=True)),
        imbalance=float(present.max() / present.min()) if len(present) else None,
        problems=scan.problems,
        truncated=tuple(problem for problem, truncated in failures if truncated),
        unreadable=tuple(problem for problem, truncated in failures if not truncated),
        duplicates=_duplicates([part], across=False),
        elongated=_images(part, np.flatnonzero(long > ASPECT_LIMIT * short)),
        small=_images(part, np.flatnonzero((short > 0) & (short < SHORT_SIDE))),
        sizes=_sizes(files.sizes[files.readable]),
        notes=(*scan.doubts, *scan.notes),
    )


def _is_truncated(why: str) -> bool:
    return any(words in why.lower() for words in TRUNCATED)


def _name(samples: SampleIndex, index: int) -> str:
    frame = "" if samples.frames is None or samples.frames[index] < 0 else f" (frame {samples.frames[index]})"
    return f"{samples.path(index)}{frame}"


def _images(part: _Read, indices: npt.NDArray[np.int64]) -> tuple[ImageSize, ...]:
    sizes = part.files.sizes[indices].tolist()
    return tuple(ImageSize(_name(part.samples, i), *size) for i, size in zip(indices.tolist(), sizes, strict=True))


def _sizes(sizes: npt.NDArray[np.int32]) -> Sizes | None:
    if not len(sizes):
        return None
    width, height = ((int(side.min()), int(np.median(side)), int(side.max())) for side in sizes.T)
    return Sizes(different=len(np.unique(sizes, axis=0)), width=width, height=height)


def _duplicates(parts: Sequence[_Read], *, across: bool) -> tuple[Duplicates, ...]:
    """Readable files with the same bytes; `across` asks for those in more than one split."""
    readable = [(i, index) for i, part in enumerate(parts) for index in part.files.readable.tolist()]
    digests = [part.files.digests[part.files.readable] for part in parts]
    found = []
    for group in alike(np.concatenate(digests)) if digests else ():
        members = [readable[entry] for entry in group]
        if across and len({owner for owner, _ in members}) < 2:
            continue
        files: dict[str, list[str]] = {}
        for owner, i in members:
            files.setdefault(parts[owner].split, []).append(_name(parts[owner].samples, i))
        labels = {tuple(parts[owner].samples.labels_of(i).tolist()) for owner, i in members}
        paths = {split: tuple(names) for split, names in files.items()}
        found.append(Duplicates(paths, conflicting=len(labels) > 1))
    return tuple(found)
