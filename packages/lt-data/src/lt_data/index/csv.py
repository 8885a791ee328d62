"""The rows of CSV files."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from pathlib import Path

from lt_data.errors import DatasetError, Problem

BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def csv_rows(file: Path, *, delimiter: str, encoding: str) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not empty, each with the line that it ends on.

    File names that are not Unicode may be in the file as Python writes them with `surrogatepass`.

    Args:
        file: The CSV file.
        delimiter: Character between the columns.
        encoding: Of a file without a byte order mark.

    Raises:
        DatasetError: The file cannot be read, is not in `encoding`, or is not CSV; names the line.
    """
    try:
        with open(file, "rb") as stream:
            encoding = _marked_encoding(stream.read(3)) or encoding
            stream.seek(0)
            text = io.TextIOWrapper(stream, encoding, errors="surrogatepass", newline="")
            reader = csv.reader(text, delimiter=delimiter, strict=True)
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


def _marked_encoding(start: bytes) -> str | None:
    return next((name for mark, name in BYTE_ORDER_MARKS.items() if start.startswith(mark)), None)
