"""Writes a split as CSV files, so that it can be looked at, kept and used again."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from lt_data.files import atomic_write
from lt_data.index.build import DatasetIndex
from lt_data.index.columns import FRAME_COLUMN
from lt_data.index.samples import SampleIndex

logger = logging.getLogger(__name__)

FIRST_CHOICES = ",;|/"
"""Delimiters between labels that are tried before all others; the first is the default of `label_delimiter`."""


def write_split(index: DatasetIndex, folder: Path) -> None:
    """Write `train.csv` and `val.csv`, which `train_csv` and `val_csv` read back to the same samples.

    Paths are absolute and labels class names; give `classes` when reading them, so that IDs stay. Several labels are
    separated by the first character of `,;|/`, or else of Unicode from `!`, that no class name contains; the log says
    which, if it is not the default of `label_delimiter`. Frames of DICOM files are in a column `dicom_frame`. Files are
    UTF-8, and names that are not Unicode are kept.

    Args:
        index: From `build_index`, for example with `val` as a share.
        folder: Where to write; it is made if it does not exist.

    Raises:
        OSError: The folder cannot be written or the disk is full. What was there before stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    delimiter = _delimiter(index.classes.names)
    for name, samples in (("train", index.train), ("val", index.val)):
        file = folder / f"{name}.csv"
        with atomic_write(file) as stream:
            text = io.TextIOWrapper(stream, "utf-8", errors="surrogatepass", newline="")
            _write(text, samples, index.classes.names, delimiter)
            text.detach()
        logger.info("%s: %d samples written to %s", name, len(samples), file)
    if delimiter != FIRST_CHOICES[0] and index.train.label_ends is not None:
        logger.info("labels are separated by %r: set data.label_delimiter to read the files", delimiter)


def _write(text: io.TextIOWrapper, samples: SampleIndex, names: tuple[str, ...], delimiter: str) -> None:
    frames = None if samples.frames is None else [str(frame) if frame >= 0 else "" for frame in samples.frames.tolist()]
    text.write("image_path,label\n" if frames is None else f"image_path,label,{FRAME_COLUMN}\n")
    # Everything is quoted: csv.writer of Python 3.10 forgets to for a carriage return.
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    for i in range(len(samples)):
        label = delimiter.join(names[code] for code in samples.labels_of(i).tolist())
        writer.writerow([str(samples.path(i).absolute()), label, *([] if frames is None else [frames[i]])])
    text.flush()


def _delimiter(names: tuple[str, ...]) -> str:
    used = set("".join(names))
    candidates: Iterator[str] = chain(FIRST_CHOICES, map(chr, range(ord("!"), 0xD800)))
    return next(mark for mark in candidates if mark not in used)
