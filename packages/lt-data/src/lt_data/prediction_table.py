"""The table that the predictions of a folder are written to, row by row, and that an interrupted call goes on with."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import attrs

from lt_data.errors import PredictionArgumentError, listed
from lt_data.files import atomic_write, check_writable

Key = tuple[str, "int | None"]
"""Path and frame of an image, as `ImagePrediction` has them."""

COLUMNS = ("path", "frame", "labels", "names", "scores", "error")
SUFFIXES = (".csv", ".jsonl")


@attrs.frozen
class ImagePrediction:
    """What a model says of one image of a folder.

    Attributes:
        path: The file, relative to the folder, with `/` between its parts.
        frame: Frame of a DICOM file whose frames are images of their own, else None.
        labels: Class IDs, by falling score.
        names: Their names.
        scores: Their probabilities, in [0, 1].
        error: Why the file could not be read, without its path; None if it could. Then there are no labels.
    """

    path: str
    frame: int | None
    labels: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    error: str | None = None


def checked_table(out: Path, *, resume: bool) -> Path:
    """A place where a table may be written.

    Raises:
        PredictionArgumentError: It ends in another suffix, is there already without `resume`, or its folder is missing
            or cannot be written to.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise PredictionArgumentError(f"{out}: the name must end in .csv or .jsonl")
    if out.exists() and not resume:
        raise PredictionArgumentError(f"{out}: is there already; remove it, or resume it")
    if not out.parent.is_dir():
        raise PredictionArgumentError(f"{out.parent}: there is no such folder")
    try:
        check_writable(out.parent)
    except OSError as error:
        raise PredictionArgumentError(f"{out.parent}: cannot be written to: {error.strerror}") from error
    return out


def rows_as_text(rows: Sequence[ImagePrediction], target: Path) -> bytes:
    """Rows as the table has them, by its suffix CSV or JSON Lines."""
    text = io.StringIO()
    if target.suffix.lower() == ".jsonl":
        for row in rows:
            filled = {key: value for key, value in attrs.asdict(row).items() if value is not None}
            text.write(json.dumps(filled, ensure_ascii=False) + "\n")
    else:
        writer = csv.writer(text, lineterminator="\n")
        for row in rows:
            cells = [";".join(map(str, values)) for values in (row.labels, row.names, row.scores)]
            writer.writerow([row.path, "" if row.frame is None else row.frame, *cells, row.error or ""])
    # A file name that is no Unicode: JSON has an escape for it, CSV gets the bytes that the file system has.
    errors = "backslashreplace" if target.suffix.lower() == ".jsonl" else "surrogateescape"
    return text.getvalue().encode("utf-8", errors=errors)


@contextmanager
def open_table_to_append(target: Path) -> Iterator[BinaryIO]:
    """The table, with its header if it is new and has one."""
    with open(target, "ab") as stream:
        if target.suffix.lower() == ".csv" and not stream.tell():
            stream.write((",".join(COLUMNS) + "\n").encode())
        yield stream


def rows_done(target: Path, asked: Mapping[str, Any]) -> dict[Key, str]:
    """Images that the table has, with why they could not be read, empty for those that could.

    A last line that an interruption left unfinished is cut off. A new table gets a record of what was asked, by which
    it is known when it is gone on with.

    Args:
        target: The table, which need not be there.
        asked: What decides its rows.

    Raises:
        PredictionArgumentError: It is not the table of such a call.
    """
    record = target.with_name(f"{target.name}.json")
    if not target.exists():
        with atomic_write(record) as stream:
            stream.write(json.dumps(asked, indent=1).encode())
        return {}
    _check_same_call(record, target, asked)
    content = target.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        with open(target, "r+b") as stream:
            stream.truncate(len(whole))
    try:
        if target.suffix.lower() == ".jsonl":
            rows = map(json.loads, whole.splitlines())
            return {(row["path"], row.get("frame")): row.get("error") or "" for row in rows}
        text = whole.decode("utf-8", errors="surrogateescape")
        table = csv.DictReader(io.StringIO(text, newline=""))
        return {(row["path"], int(row["frame"]) if row["frame"] else None): row["error"] for row in table}
    except (ValueError, KeyError, TypeError) as error:
        raise PredictionArgumentError(
            f"{target}: is not a table that an interrupted call left: {type(error).__name__}: {error}"
        ) from error


def _check_same_call(record: Path, target: Path, asked: Mapping[str, Any]) -> None:
    try:
        before = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PredictionArgumentError(
            f"{target}: cannot be resumed without {record.name}, which says how it was made: {error}"
        ) from error
    differ = [name for name, value in asked.items() if not isinstance(before, dict) or before.get(name) != value]
    if differ:
        raise PredictionArgumentError(
            f"{target}: was made with another {listed(differ)}, by {record.name}; resume it with the same, or take "
            "another file"
        )
