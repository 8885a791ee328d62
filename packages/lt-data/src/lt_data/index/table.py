"""Tables with a column of image paths and columns of labels: CSV and Parquet files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from lt_data.data_config import DataConfig
from lt_data.errors import DatasetError, Problem, enumerated, listed
from lt_data.index.columns import FRAME_COLUMN, Columns, find_columns
from lt_data.index.csv import csv_rows
from lt_data.index.dicom import WHOLE, expand_dicom
from lt_data.index.image_files import ImageFinder
from lt_data.index.labels import Cell, Codes, SeveralLabelsError, label_reader, shown, split_labels
from lt_data.index.parquet import is_parquet, open_parquet
from lt_data.index.repeats import files_of, group_numbers, repeats
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
    """The rows that take part: their numbers, images, labels, and, where there are such columns, groups and frames.

    Of multiclass rows with `several` labels there are only the place and the labels, as text.
    """

    numbers: list[int] = attrs.field(factory=list)
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
    files are opened. Rows of one image belong to one group; multiclass rows must agree in its label.

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
    files = files_of(file.parent, rows.names)
    repeated = tuple(repeats(list(zip(files, rows.frames, strict=True)) if rows.frames else files))
    if task == "multiclass" and repeated:
        _compare_labels(rows, repeated, classes, table.place, problems)
    if not rows.names and not rows.several and not problems:
        problems.add(str(file), "no row takes part")
    counts = (
        (left_out, "rows left out, all their labels are ignored"),
        (images.absolute, "rows with absolute paths"),
        (sum(not codes for codes in rows.codes), "rows without a label, kept as negatives"),
        (rows.groups.count(""), "rows without a group, each of which is a group of its own"),
    )
    scan = _scan(rows, files, images.dicom, file, config, task, len(classes), problems)
    notes = tuple(f"{count} {what}" for count, what in counts if count)
    doubts = (_repeated(rows, repeated, table.place, task),) if repeated else ()
    told = (*_several(file, rows.several, config), *scan.problems)
    return attrs.evolve(scan, problems=told, notes=notes, doubts=doubts)


def _several(file: Path, rows: Sequence[str], config: DataConfig) -> Iterator[Problem]:
    """What to say, once, of multiclass rows with several labels."""
    if rows:
        count = "1 image has" if len(rows) == 1 else f"{len(rows)} images have"
        some = enumerated(rows)
        cures = ['to train on several, set classification_task to "multilabel"']
        if config.csv_label_columns is None:
            mark, other = config.label_delimiter, "|" if config.label_delimiter != "|" else ";"
            belongs = f"where {mark!r} belongs to the names, list them in data.classes, or set data.label_delimiter to"
            cures.insert(0, f'{belongs} another, such as "{other}"')
        what = f"{count} several labels: {some}; a multiclass image needs exactly one; {'; '.join(cures)}"
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
            belongs_to = "" if group is None else row[group].strip()
            if frame is not None:
                rows.frames.append(_frame(row[frame], is_dicom=name in images.dicom))
            if group is not None:
                rows.groups.append(belongs_to)
            rows.numbers.append(number)
            rows.names.append(name)
            rows.codes.append(codes)
        except IndexError:
            needed = max(image, *columns.labels, group or 0, frame or 0) + 1
            short = ValueError(f"has {len(row)} columns, {needed} are needed")
            problems.add_row(table.place(number), short)
        except SeveralLabelsError as error:
            rows.several.append(f"{Path(table.place(number)).name} ({listed(error.labels)})")
        except ValueError as error:
            problems.add_row(table.place(number), error)
    return left_out


def _compare_labels(
    rows: _Rows,
    repeated: Sequence[tuple[int, int]],
    classes: Classes,
    place: Callable[[int], str],
    problems: ProblemList,
) -> None:
    for row, first in repeated:
        if rows.codes[row] != rows.codes[first]:
            (label,), (other,) = rows.codes[row], rows.codes[first]
            labels = f"{rows.names[row]!r} is {classes.names[label]!r} here and {classes.names[other]!r} in "
            what = f'{labels}{place(rows.numbers[first])}; keep one of them, or take classification_task="multilabel"'
            problems.add(place(rows.numbers[row]), what)


def _repeated(rows: _Rows, repeated: Sequence[tuple[int, int]], place: Callable[[int], str], task: TaskName) -> str:
    row, first = repeated[0]
    example = f"{rows.names[row]!r} in {place(rows.numbers[row])} and {place(rows.numbers[first])}"
    hint = "; all labels of an image belong in one row" if task == "multilabel" else ""
    what = f"{len(repeated)} rows have an image that an earlier row has, such as {example}"
    return f"{what}: each row counts as a sample of its own{hint}"


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
    files: Sequence[str],
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
    grouped = bool(rows.groups or dicom or len(set(files)) < len(files))
    groups = group_numbers(rows.groups, files) if grouped else None
    if dicom:
        expansion = expand_dicom(file.parent, rows.names, dicom, config.dicom_frame, rows.frames or None)
        problems.extend(expansion.problems)
        samples = attrs.evolve(samples.take(expansion.rows), frames=expansion.frames)
        groups = None if groups is None else groups[expansion.rows]
    return Scan(samples=samples, problems=problems.all(), groups=groups)


def _chain(first: tuple[int, list[str]], rest: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[int, list[str]]]:
    yield first
    yield from rest
