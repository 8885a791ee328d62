"""The rows of Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from lt_data.data_config import DataConfig
from lt_data.errors import DatasetError, Problem
from lt_data.index.columns import Columns, find_columns
from lt_data.index.labels import Cell

PARQUET_SUFFIXES = frozenset({".parquet", ".pq"})
BATCH_ROWS = 2**16


def is_parquet(file: Path) -> bool:
    """Whether a file is Parquet, by its ending."""
    return file.suffix.lower() in PARQUET_SUFFIXES


def open_parquet(
    file: Path, config: DataConfig, *, grouped: bool
) -> tuple[Iterator[tuple[int, Sequence[Cell]]], Columns]:
    """Rows with their numbers from 1, as cells of text like those of a CSV file, and where the columns are.

    Only the columns that are needed are read.

    Raises:
        DatasetError: pyarrow is not installed, the file cannot be read, or a column is missing or of a wrong type.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        what = 'Parquet files need pyarrow: pip install "lt-data[parquet]"'
        raise DatasetError([Problem(str(file), what)]) from error
    try:
        parquet = pq.ParquetFile(file)
        names: list[str] = parquet.schema_arrow.names
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DatasetError([Problem(str(file), f"cannot be read as Parquet: {error}")]) from error
    columns = find_columns(str(file), names, config, grouped=grouped)
    _check_types(file, parquet.schema_arrow, columns)
    positions = sorted({columns.image, *columns.labels, *(i for i in (columns.group, columns.frame) if i is not None)})
    return _rows(file, parquet, [names[i] for i in positions]), _renumbered(columns, positions)


def _rows(file: Path, parquet: Any, names: list[str]) -> Iterator[tuple[int, Sequence[Cell]]]:
    import pyarrow as pa

    number = 0
    try:
        for batch in parquet.iter_batches(batch_size=BATCH_ROWS, columns=names):
            for cells in zip(*(map(_cell, batch.column(name).to_pylist()) for name in names), strict=True):
                number += 1
                yield number, cells
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DatasetError([Problem(f"{file}: row {number + 1}", f"cannot be read as Parquet: {error}")]) from error
    finally:
        parquet.close()


def _cell(value: Any) -> Cell:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return tuple(str(_cell(entry)) for entry in value)
    # NaN differs from itself, and stands for a missing value.
    return "" if value is None or value != value else str(value)


def _renumbered(columns: Columns, positions: list[int]) -> Columns:
    return attrs.evolve(
        columns,
        image=positions.index(columns.image),
        labels=tuple(positions.index(i) for i in columns.labels),
        group=None if columns.group is None else positions.index(columns.group),
        frame=None if columns.frame is None else positions.index(columns.frame),
    )


def _check_types(file: Path, schema: Any, columns: Columns) -> None:
    """Refuse columns whose values do not read as those of a CSV file would."""
    from pyarrow import types

    def plain(kind: Any) -> Any:
        return plain(kind.value_type) if types.is_dictionary(kind) else kind

    def is_text(kind: Any) -> bool:
        return any(test(plain(kind)) for test in (types.is_string, types.is_large_string, types.is_null))

    def is_label(kind: Any) -> bool:
        return is_text(kind) or types.is_integer(plain(kind))

    def is_labels(kind: Any) -> bool:
        lists = (types.is_list, types.is_large_list, types.is_fixed_size_list)
        return is_label(kind) or (any(test(kind) for test in lists) and is_label(kind.value_type))

    def is_flag(kind: Any) -> bool:
        return is_label(kind) or types.is_boolean(kind) or types.is_floating(kind)

    one_hot = len(columns.labels) > 1
    wanted = [
        (columns.image, is_text, "text"),
        *((i, is_flag, "numbers, truth values or text") for i in columns.labels if one_hot),
        *((i, is_labels, "text, integers, or lists of these") for i in columns.labels if not one_hot),
        *((i, is_label, "text or integers") for i in (columns.group, columns.frame) if i is not None),
    ]
    problems = [
        Problem(str(file), f"column {schema.names[i]!r} holds {schema.types[i]}, expected {expected}")
        for i, fits, expected in wanted
        if not fits(schema.types[i])
    ]
    if problems:
        raise DatasetError(problems)
