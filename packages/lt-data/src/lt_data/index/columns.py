"""Where a table's columns are."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from lt_data.data_config import DataConfig
from lt_data.errors import DatasetError, Problem, listed, nearest
from lt_data.images.formats import is_image_name

FRAME_COLUMN = "dicom_frame"
"""A column of this name, if there is one, holds the frame of each row from 0; empty follows `data.dicom_frame`."""

DELIMITERS = (",", ";", "\t", "|")
"""What separates columns in practice."""


@attrs.frozen(kw_only=True)
class Columns:
    """Positions in a row.

    Attributes:
        image: Of the image path.
        labels: Of the labels; several for one-hot columns.
        group: Of the group that a split must not tear.
        frame: Of the frame.
        count: How many columns there are.
        has_header: Whether the first row holds names.
    """

    image: int
    labels: tuple[int, ...]
    group: int | None = None
    frame: int | None = None
    count: int
    has_header: bool = True


def find_columns(place: str, header: Sequence[str], config: DataConfig, *, grouped: bool) -> Columns:
    """Look for the columns that `config` names.

    Args:
        place: Where the header is, for messages.
        header: Names of the columns, or the first row of a file without names: an image path and a label.
        config: Names that are looked for.
        grouped: Whether `split_group_column` is one of them.

    Raises:
        DatasetError: Names every column that is missing or there twice.
    """
    names = [cell.strip() for cell in header]
    wanted = _wanted(config, grouped=grouped)
    if len(names) == len(wanted) == 2 and not {name for _, name in wanted} & set(names) and is_image_name(names[0]):
        return Columns(image=0, labels=(1,), count=2, has_header=False)
    problems = [
        Problem(place, _wrong(key, name, names, config))
        for key, name in [*wanted, ("csv_image_column", FRAME_COLUMN)]
        if names.count(name) > 1 or (name not in names and name != FRAME_COLUMN)
    ]
    if problems:
        raise DatasetError(list(dict.fromkeys(problems)))
    labels = config.csv_label_columns or (config.csv_label_column,)
    return Columns(
        image=names.index(config.csv_image_column),
        labels=tuple(names.index(name) for name in labels),
        group=names.index(config.split_group_column) if grouped and config.split_group_column else None,
        frame=names.index(FRAME_COLUMN) if FRAME_COLUMN in names else None,
        count=len(names),
    )


def _wanted(config: DataConfig, *, grouped: bool) -> list[tuple[str, str]]:
    """The key in `data` and the name of every column that must be there."""
    labels = [("csv_label_columns", name) for name in config.csv_label_columns or ()]
    labels = labels or [("csv_label_column", config.csv_label_column)]
    group = [("split_group_column", config.split_group_column)] if grouped and config.split_group_column else []
    return [("csv_image_column", config.csv_image_column), *labels, *group]


def _wrong(key: str, name: str, header: Sequence[str], config: DataConfig) -> str:
    if name in header:
        return f"has {header.count(name)} columns {name!r}; one is needed"
    others = [mark for mark in DELIMITERS if mark != config.csv_delimiter and len(header) == 1 and mark in header[0]]
    if others:
        return f"has one column, {header[0][:200]!r}; set data.csv_delimiter to {others[0]!r} if that separates columns"
    if any("\0" in cell for cell in header):
        return 'has NUL characters in its first line; set data.encoding to "utf-16-le" if it is UTF-16'
    near = nearest(name, [cell for cell in header if len(cell) <= 200])
    hint = f"did you mean {near!r}? " if near else ""
    change = f"list in data.{key} some of" if key == "csv_label_columns" else f"set data.{key} to one of"
    return f"has no column {name!r}; {hint}{change} {listed([cell[:200] for cell in header])}"
