"""Tables with a column of image paths and columns of labels: CSV and Parquet files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from lt_data.data_config import DataConfig
from lt_data.errors import DatasetError, Problem, listed
from lt_data.index.columns import FRAME_COLUMN, Columns, find_columns
from lt_data.index.csv import csv_rows
from lt_data.index.dicom import WHOLE, expand_dicom
from lt_data.index.image_files import ImageFinder
from lt_data.index.labels import Cell, Codes, SeveralLabelsError, label_reader, shown, split_labels
from lt_data.index.parquet import is_parquet, open_parquet
from lt_data.index.samples import SampleIndex
from lt_data.index.scan import ProblemList, Scan
from lt_data.task import Classes, TaskName


@attrs.frozen
class Table:
    """Rows that are read once.

    Attributes:
        rows: Each row after the header, with its line or number; its cells are text, labels also tuples of text.
        columns: Where the columns are in a row.
        place: From that line or number to how messages call it.
    """

    rows: Iterator[tuple[int, Sequence[Any]]]
    columns: Columns
    place: Callable[[int], str]


@attrs.frozen
class _Rows:
    """The rows that take part: their images, labels, and, where there are such columns, groups and frames.

    Of multiclass rows with `several` labels there are only the place and the labels, as text.
    """

    names: list[str] = attrs.field(factory=list)
    codes: list[tuple[int, ...]] = attrs.field(factory=list)
    groups: list[str] = attrs.field(factory=list)
    frames: list[int] = attrs.field(factory=list)
    several: list[str] = attrs.field(factory=list)


def open_table(file: Path, config: DataConfig, *, grouped: bool = False) -> Table:
    """Find the columns of a CSV or Parquet file.

    Raises:
        DatasetError: The file cannot be read, or lacks a column.
    """
    if is_parquet(file):
        rows, columns = open_parquet(file, config, grouped=grouped)
        return Table(rows, columns, lambda number: f"{file}: row {number}")
    lines = csv_rows(file, delimiter=config.csv_delimiter, encoding=config.encoding)
    first = next(lines, None)
    if first is None:
        raise DatasetError([Problem(str(file), "is empty")])
    columns = find_columns(f"{file}:{first[0]}", first[1], config, grouped=grouped)
    return Table(lines if columns.has_header else _chain(first, lines), columns, lambda line: f"{file}:{line}")


def table_labels(file: Path, config: DataConfig) -> list[str]:
    """Every label that a table uses, each once, sorted.

    Raises:
        DatasetError: The file cannot be read, or lacks a column.
    """
    table = open_table(file, config)
    (label,) = table.columns.labels
    cells = {row[label] for _, row in table.rows if len(row) > label}
    return sorted({name for cell in cells for name in split_labels(cell, config.label_delimiter)})


def scan_table(
    file: Path,
    classes: Classes,
    ignored: Mapping[int, str],
    config: DataConfig,
    task: TaskName,
    *,
    grouped: bool = False,
) -> Scan:
    """List the samples of a CSV or Parquet file, and everything that is wrong with its rows.

    Paths are absolute, or relative to the file's folder and inside it. Images are looked for, and of those only DICOM
    files are opened.

    Args:
        file: The table.
        classes: Classes that take part.
        ignored: Classes, by ID, that are known but take no part.
        config: Names of the columns, kind of labels, delimiters and encoding.
        task: Multiclass rows have exactly one label, multilabel rows any number, and none makes a negative.
        grouped: Whether the rows' groups are needed for a split.
    """
    problems = ProblemList(file)
    images = ImageFinder(file.parent)
    rows = _Rows()
    left_out = 0
    try:
        table = open_table(file, config, grouped=grouped)
        left_out = _read_rows(table, label_reader(classes, ignored, config, task), images, rows, problems)
    except DatasetError as error:
        problems.extend(error.problems)
    if not rows.names and not rows.several and not problems:
        problems.add(str(file), "no row takes part")
    counts = (
        (left_out, "rows left out, all their labels are ignored"),
        (images.absolute, "rows with absolute paths"),
        (sum(not codes for codes in rows.codes), "rows without a label, kept as negatives"),
        (rows.groups.count(""), "rows without a group, each of which is a group of its own"),
    )
    scan = _scan(rows, images.dicom, file, config, task, len(classes), problems)
    notes = tuple(f"{count} {what}" for count, what in counts if count)
    return attrs.evolve(scan, problems=(*_several(file, rows.several), *scan.problems), notes=notes)


def _several(file: Path, rows: Sequence[str]) -> Iterator[Problem]:
    """What to say, once, of multiclass rows with several labels."""
    if rows:
        count = "1 image has" if len(rows) == 1 else f"{len(rows)} images have"
        cure = 'to train on several, set classification_task to "multilabel"'
        what = f"{count} several labels: {listed(rows)}; a multiclass image needs exactly one; {cure}"
        yield Problem(str(file), what)


def _read_rows(
    table: Table, read: Callable[[Cell], Codes], images: ImageFinder, rows: _Rows, problems: ProblemList
) -> int:
    """Fill `rows` and `problems`; returns how many rows are left out as their labels are ignored."""
    columns = table.columns
    # One position gives the cell itself, several the tuple of them.
    labels_of = itemgetter(*columns.labels)
    image, group, frame, left_out = columns.image, columns.group, columns.frame, 0
    for number, row in table.rows:
        try:
            if len(row) > columns.count and any(row[columns.count :]):
                what = f"has {len(row)} columns, the header {columns.count}"
                raise ValueError(f"{what}; put several labels, and paths with a delimiter, in quotes")
            codes = read(labels_of(row))
            if codes is None:
                left_out += 1
                continue
            name = images.find(row[image])
            if frame is not None:
                rows.frames.append(_frame(row[frame], is_dicom=name in images.dicom))
            if group is not None:
                rows.groups.append(row[group].strip())
            rows.names.append(name)
            rows.codes.append(codes)
        except IndexError:
            needed = max(image, *columns.labels, group or 0, frame or 0) + 1
            problems.add(table.place(number), f"has {len(row)} columns, {needed} are needed")
        except SeveralLabelsError as error:
            rows.several.append(f"{Path(table.place(number)).name} ({listed(error.labels)})")
        except ValueError as error:
            problems.add(table.place(number), error)
    return left_out


def _frame(cell: str, *, is_dicom: bool) -> int:
    text = cell.strip()
    if not text:
        return WHOLE
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise ValueError(f"column {FRAME_COLUMN!r} holds {shown(cell)}, expected the number of a frame, from 0")
    if not is_dicom:
        raise ValueError(f"column {FRAME_COLUMN!r} holds {cell}, but only DICOM files have frames")
    return int(text)


def _scan(
    rows: _Rows,
    dicom: set[str],
    file: Path,
    config: DataConfig,
    task: TaskName,
    num_classes: int,
    problems: ProblemList,
) -> Scan:
    counts = np.fromiter(map(len, rows.codes), dtype=np.int64, count=len(rows.codes))
    flat = np.fromiter((code for codes in rows.codes for code in codes), dtype=np.int32, count=int(counts.sum()))
    ends = np.cumsum(counts) if task == "multilabel" else None
    samples = SampleIndex.from_paths(file.parent, rows.names, flat, num_classes=num_classes, label_ends=ends)
    groups = group_numbers(rows.groups, rows.names, dicom)
    if dicom:
        expansion = expand_dicom(file.parent, rows.names, dicom, config.dicom_frame, rows.frames or None)
        problems.extend(expansion.problems)
        samples = attrs.evolve(samples.take(expansion.rows), frames=expansion.frames)
        groups = None if groups is None else groups[expansion.rows]
    return Scan(samples=samples, problems=problems.all(), groups=groups)


def group_numbers(
    groups: Sequence[str], names: Sequence[str], dicom: set[str] | frozenset[str]
) -> npt.NDArray[np.int64] | None:
    """Number of the group of each row.

    Rows that name a group belong to it, other rows of one DICOM file belong together, and all others stand alone.

    Returns:
        int64 of shape (rows,); None where every row stands alone.
    """
    if not groups and not dicom:
        return None
    numbers: dict[tuple[str, str | int], int] = {}
    found = []
    for row, name in enumerate(names):
        alone = ("file", name) if name in dicom else ("row", row)
        found.append(numbers.setdefault(("group", groups[row]) if groups and groups[row] else alone, len(numbers)))
    return np.array(found, dtype=np.int64)


def _chain(first: tuple[int, list[str]], rest: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[int, list[str]]]:
    yield first
    yield from rest
