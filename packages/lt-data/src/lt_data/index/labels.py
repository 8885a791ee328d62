"""From the label cells of a row to class indices."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

import attrs

from lt_data.data_config import DataConfig
from lt_data.errors import ConfigError, Problem, listed, nearest
from lt_data.index.lookalike import lookalike
from lt_data.task import Classes, TaskName

Cell: TypeAlias = "str | tuple[str, ...]"
"""Text; or a tuple of texts: of a list in one cell, or of the cells of one-hot columns."""
Codes: TypeAlias = "tuple[int, ...] | None"
"""Class indices, rising; None for a row that takes no part, as all its labels are ignored."""

KNOWN_CELLS = 2**16
"""So many different cells are remembered: most files have few."""

LONGEST_SHOWN = 200
"""Characters of a wrong label in a message; for longer ones no near name is looked for."""

LABEL_MARKS = (";", "|", ",")
"""What separates labels in practice."""

ONE_HOT = {"1": True, "1.0": True, "true": True, "": False, "0": False, "0.0": False, "false": False}


WHOLE_AS_FLOAT = re.compile(r"([0-9]+)\.0*")
"""How pandas writes whole numbers in a column that once had a gap."""


class UnknownLabelError(ValueError):
    """A label that is no class; a near name is looked for only when the message is asked for, as that takes long."""

    def __init__(self, label: str, key: _Key) -> None:
        super().__init__(label)
        self._label, self._key = label, key

    def __str__(self) -> str:
        return f"unknown {self._key.kind} {shown(self._label)}; {self._hint()}"

    def _hint(self) -> str:
        whole = WHOLE_AS_FLOAT.fullmatch(self._label)
        if self._key.by_id and whole and whole[1] in self._key:
            return f"IDs are whole numbers: write {whole[1]}, in pandas by .astype('Int64')"
        if self._label in self._key.ids and not self._key.by_id:
            return 'it is a class ID: set csv_label_type to "id"'
        for mark in LABEL_MARKS:
            if mark in self._label and all(part.strip() in self._key for part in self._label.split(mark)):
                return f"set data.label_delimiter to {mark!r} if that separates labels"
        short = len(self._label) <= LONGEST_SHOWN
        if short and (likely := lookalike(self._label, self._key.codes)):
            return likely
        near = nearest(self._label, self._key.codes) if short else None
        return f"did you mean {near!r}?" if near else f"there are {listed(list(self._key.codes))}"


class OneHotCellError(ValueError):
    """A cell of a one-hot column that is neither 0 nor 1; all such cells of a column count as the same problem."""

    def __init__(self, column: str, cell: str) -> None:
        super().__init__(column)
        self._column, self._cell = column, cell

    def __str__(self) -> str:
        return f"column {self._column!r} holds {shown(self._cell)}, expected 0 or 1"


class SeveralLabelsError(ValueError):
    """A multiclass row with several labels, which are in `labels`."""

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__(f"has {len(labels)} labels ({listed(labels)}); a multiclass image needs exactly one")
        self.labels = tuple(labels)


@attrs.frozen(kw_only=True)
class _Key:
    """How labels are called in the file: by name, or by ID as text."""

    by_id: bool
    codes: Mapping[str, int]
    ignored: frozenset[str]
    ids: frozenset[str]

    def __contains__(self, label: str) -> bool:
        return label in self.codes or label in self.ignored

    @property
    def kind(self) -> str:
        return "class ID" if self.by_id else "class"


def label_reader(
    classes: Classes, ignored: Mapping[int, str], config: DataConfig, task: TaskName
) -> Callable[[Cell], Codes]:
    """A function from a label cell, or the tuple of one-hot cells, to class indices.

    It raises ValueError where a label is unknown or a multiclass row has none, SeveralLabelsError where it has several.
    """
    key = _key(classes, ignored, config)
    if config.csv_label_columns is not None:
        columns = config.csv_label_columns
        codes = tuple(key.codes.get(name) for name in columns)
        read: Callable[[Cell], Codes] = functools.partial(_read_one_hot, columns=columns, codes=codes, task=task)
    else:
        read = functools.partial(_read_labels, key=key, delimiter=config.label_delimiter, task=task)
    return functools.lru_cache(KNOWN_CELLS)(read)


def check_label_columns(names: Mapping[int, str], config: DataConfig) -> None:
    """Refuse `csv_label_columns` that are not the classes.

    Raises:
        ConfigError: Names every column that is no class, and every class that takes part and has no column.
    """
    columns = config.csv_label_columns or ()
    kept = config.kept_classes(names)
    ignored = {i: name for i, name in names.items() if i not in kept}
    key = _key(Classes.from_mapping(kept), ignored, config)
    unknown = [column for column in columns if column not in key]
    problems = [Problem("data.csv_label_columns", str(UnknownLabelError(column, key))) for column in unknown]
    absent = [label for label in key.codes if label not in columns]
    if columns and absent:
        problems.append(Problem("data.csv_label_columns", f"no column for {key.kind} {listed(absent)}"))
    if problems:
        raise ConfigError(problems)


def split_labels(cell: Cell, delimiter: str) -> list[str]:
    """The labels in one cell, without the blanks around them."""
    parts: Iterable[str] = cell.split(delimiter) if isinstance(cell, str) else cell
    return [label for label in (part.strip() for part in parts) if label]


def shown(text: str) -> str:
    """Quoted for a message, and not endless."""
    return repr(text) if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]!r}..."


def _key(classes: Classes, ignored: Mapping[int, str], config: DataConfig) -> _Key:
    by_id = config.csv_label_type == "id"
    return _Key(
        by_id=by_id,
        codes={str(label): i for i, label in enumerate(classes.ids if by_id else classes.names)},
        ignored=frozenset(str(label) for label in (ignored if by_id else ignored.values())),
        ids=frozenset(str(i) for i in (*classes.ids, *ignored)),
    )


def _read_labels(cell: Cell, *, key: _Key, delimiter: str, task: TaskName) -> Codes:
    labels = _labels(cell, key, delimiter)
    for label in labels:
        if label not in key:
            raise UnknownLabelError(label, key)
    codes = tuple(sorted({key.codes[label] for label in labels if label in key.codes}))
    if task == "multilabel":
        return codes
    if not labels:
        raise ValueError("the label is empty; a multiclass image needs exactly one")
    if len(codes) > 1:
        raise SeveralLabelsError(labels)
    return codes or None


def _labels(cell: Cell, key: _Key, delimiter: str) -> list[str]:
    """Labels of a cell; names with the delimiter, or with blanks around them, are found as they are."""
    if isinstance(cell, str):
        cell = (cell,) if cell in key or cell.strip() in key else tuple(cell.split(delimiter))
    exact = (part if part in key else part.strip() for part in cell)
    return [label for label in exact if label]


def _read_one_hot(cells: Cell, *, columns: tuple[str, ...], codes: tuple[int | None, ...], task: TaskName) -> Codes:
    present: dict[str, int | None] = {}
    for cell, column, code in zip(cells, columns, codes, strict=True):
        flag = ONE_HOT.get(cell.strip().lower())
        if flag is None:
            raise OneHotCellError(column, cell)
        if flag:
            present[column] = code
    found = tuple(sorted(code for code in present.values() if code is not None))
    if task == "multilabel":
        return found
    if not present:
        raise ValueError("0 of the label columns hold 1; a multiclass image needs exactly one")
    if len(found) > 1:
        raise SeveralLabelsError([column for column, code in present.items() if code is not None])
    return found or None
