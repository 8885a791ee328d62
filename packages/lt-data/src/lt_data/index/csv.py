"""CSV files with a column of image paths and a column of labels."""

from __future__ import annotations

import codecs
import csv
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import attrs
import numpy as np

from lt_data.data_config import DataConfig
from lt_data.errors import DatasetError, Problem, listed, nearest
from lt_data.images.formats import is_image_name
from lt_data.index.samples import SampleIndex
from lt_data.task import Classes, TaskName

MAX_PROBLEMS = 1000
"""Reading stops there: a file with so many problems has one cause."""


@attrs.frozen
class CsvScan:
    """What a CSV file holds.

    Attributes:
        samples: The rows that take part, in the file's order.
        ignored: Rows left out because all their labels are ignored.
        absolute: Rows with an absolute path.
        negatives: Rows of a multilabel task without a label.
    """

    samples: SampleIndex
    ignored: int
    absolute: int
    negatives: int


@attrs.frozen
class _Columns:
    """Positions in a row, and whether the first row is a header."""

    image: int
    label: int
    has_header: bool


def csv_labels(file: Path, config: DataConfig) -> list[str]:
    """Every label that a CSV file uses, each once, sorted.

    Raises:
        DatasetError: The file cannot be read, or lacks a column.
    """
    rows, columns = _rows(file, config)
    texts = {row[columns.label] for _, row in rows if len(row) > columns.label}
    return sorted({label for text in texts for label in _split(text, config.label_delimiter)})


def scan_csv(file: Path, classes: Classes, ignored: Mapping[int, str], config: DataConfig, task: TaskName) -> CsvScan:
    """List the samples of a CSV file.

    Paths are absolute, or relative to the file's folder and inside it. Images are looked for, and not opened.

    Args:
        file: The CSV file.
        classes: Classes that take part.
        ignored: Classes, by ID, that are known but take no part.
        config: Names of the columns, kind of labels, delimiter and encoding.
        task: Multiclass rows have exactly one label, multilabel rows any number, and none makes a negative.

    Raises:
        DatasetError: Names file and line of every unknown, missing or second label, and of every missing image.
    """
    rows, columns = _rows(file, config)
    reader = _LabelReader(classes, ignored, config, task)
    images = _Images(file.parent)
    problems: list[Problem] = []
    names: list[str] = []
    labels: list[tuple[int, ...]] = []
    left_out = 0
    for line, row in rows:
        try:
            codes = reader.read(row[columns.label])
            if codes is None:
                left_out += 1
                continue
            names.append(images.find(row[columns.image]))
            labels.append(codes)
        except IndexError:
            problems.append(Problem(f"{file}:{line}", f"has {len(row)} columns, expected an image path and a label"))
        except ValueError as error:
            problems.append(Problem(f"{file}:{line}", str(error)))
        if len(problems) >= MAX_PROBLEMS:
            break
    if not names and not problems:
        problems.append(Problem(str(file), "no row takes part"))
    if problems:
        raise DatasetError(problems)
    samples = _index(file.parent, names, labels, task, len(classes))
    return CsvScan(samples, left_out, images.absolute, sum(not codes for codes in labels))


def _index(
    root: Path, names: Sequence[str], labels: Sequence[tuple[int, ...]], task: TaskName, num_classes: int
) -> SampleIndex:
    counts = np.fromiter(map(len, labels), dtype=np.int64, count=len(labels))
    flat = np.fromiter((code for codes in labels for code in codes), dtype=np.int32, count=int(counts.sum()))
    ends = np.cumsum(counts) if task == "multilabel" else None
    return SampleIndex.from_paths(root, names, flat, num_classes=num_classes, label_ends=ends)


class _LabelReader:
    """From the text of a label field to class indices; each text is read once."""

    def __init__(self, classes: Classes, ignored: Mapping[int, str], config: DataConfig, task: TaskName) -> None:
        by_id = config.csv_label_type == "id"
        self._codes = {str(key): i for i, key in enumerate(classes.ids if by_id else classes.names)}
        self._ignored = {str(key) for key in (ignored if by_id else ignored.values())}
        self._ids = {str(key) for key in (*classes.ids, *ignored)}
        self._delimiter, self._task, self._by_id = config.label_delimiter, task, by_id
        self._known: dict[str, tuple[int, ...] | None] = {}

    def read(self, text: str) -> tuple[int, ...] | None:
        """Class indices, rising; None when all labels of the row are ignored.

        Raises:
            ValueError: A label is unknown, or a multiclass row has none or several.
        """
        if text not in self._known:
            self._known[text] = self._read(text)
        return self._known[text]

    def _read(self, text: str) -> tuple[int, ...] | None:
        labels = _split(text, self._delimiter)
        for label in labels:
            if label not in self._codes and label not in self._ignored:
                raise ValueError(self._unknown(label))
        codes = tuple(sorted({self._codes[label] for label in labels if label in self._codes}))
        if self._task == "multilabel":
            return codes
        if not labels:
            raise ValueError("the label is empty; a multiclass image needs exactly one")
        if len(codes) > 1:
            raise ValueError(f"has {len(codes)} labels ({text!r}); a multiclass image needs exactly one")
        return codes or None

    def _unknown(self, label: str) -> str:
        near = nearest(label, self._codes)
        hint = f"did you mean {near!r}?" if near else f"there are {listed(list(self._codes))}"
        if not self._by_id and label in self._ids:
            hint = 'it is a class ID: set csv_label_type to "id"'
        return f"unknown {'class ID' if self._by_id else 'class'} {label!r}; {hint}"


class _Images:
    """Looks for files with one listing a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._listings: dict[str, frozenset[str]] = {}
        self.absolute = 0

    def find(self, name: str) -> str:
        """`name`, if it is a file.

        Raises:
            ValueError: It is empty, leaves the folder, or is not a file.
        """
        name = name.strip()
        if not name or "\0" in name:
            raise ValueError("the image path is empty or holds a NUL character")
        if Path(name).is_absolute():
            self.absolute += 1
        elif ".." in name and os.path.normpath(name).startswith(".."):
            raise ValueError(f"{name!r} leaves the folder of the CSV file; only absolute paths may")
        folder, _, file = name.rpartition("/")
        if file not in self._listing(folder if folder or not name.startswith("/") else "/"):
            path = self._root / name
            # Listings know neither other separators nor file systems that ignore case.
            if not path.is_file():
                raise ValueError(f"{name!r} is not a file below {self._root}")
        return name

    def _listing(self, folder: str) -> frozenset[str]:
        if folder not in self._listings:
            try:
                with os.scandir(self._root / folder) as entries:
                    self._listings[folder] = frozenset(entry.name for entry in entries if entry.is_file())
            except OSError:
                self._listings[folder] = frozenset()
        return self._listings[folder]


def _split(text: str, delimiter: str) -> list[str]:
    return [label for label in (part.strip() for part in text.split(delimiter)) if label]


def _rows(file: Path, config: DataConfig) -> tuple[Iterator[tuple[int, list[str]]], _Columns]:
    """Rows after the header with their line numbers, and where the columns are."""
    rows = _parsed(file, config.encoding)
    first = next(rows, None)
    if first is None:
        raise DatasetError([Problem(str(file), "is empty")])
    columns = _columns(file, first[1], config)
    return (rows if columns.has_header else _chain(first, rows)), columns


def _chain(first: tuple[int, list[str]], rest: Iterable[tuple[int, list[str]]]) -> Iterator[tuple[int, list[str]]]:
    yield first
    yield from rest


def _columns(file: Path, row: Sequence[str], config: DataConfig) -> _Columns:
    wanted = (config.csv_image_column, config.csv_label_column)
    header = [cell.strip() for cell in row]
    if len(row) == 2 and not set(wanted) & set(header) and is_image_name(header[0]):
        return _Columns(0, 1, has_header=False)
    problems = []
    for key, name in zip(("csv_image_column", "csv_label_column"), wanted, strict=True):
        if header.count(name) > 1:
            problems.append(Problem(f"{file}:1", f"has {header.count(name)} columns {name!r}; one is needed"))
        elif name not in header:
            near = nearest(name, header)
            hint = f"did you mean {near!r}? " if near else ""
            problems.append(
                Problem(f"{file}:1", f"has no column {name!r}; {hint}set data.{key} to one of {listed(header)}")
            )
    if problems:
        raise DatasetError(problems)
    return _Columns(header.index(wanted[0]), header.index(wanted[1]), has_header=True)


def _parsed(file: Path, encoding: str) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not empty, each with the line that it ends on."""
    try:
        with open(file, "rb") as stream:
            start = stream.read(2)
            stream.seek(0)
            wide = start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
            text = io.TextIOWrapper(stream, "utf-16" if wide else encoding, newline="")
            reader = csv.reader(text, strict=True)
            for row in reader:
                if row:
                    yield reader.line_num, row
    except OSError as error:
        raise DatasetError([Problem(str(file), f"cannot be read: {error.strerror}")]) from error
    except UnicodeError as error:
        what = f"is not {encoding}: {error}; set data.encoding, for example to cp1252"
        raise DatasetError([Problem(str(file), what)]) from error
    except csv.Error as error:
        raise DatasetError([Problem(f"{file}:{reader.line_num}", f"is not CSV: {error}")]) from error
