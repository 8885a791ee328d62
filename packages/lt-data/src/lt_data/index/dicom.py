"""What a scan needs to know of DICOM files: whether they can be decoded here, and how many frames they have."""

from __future__ import annotations

from collections.abc import Sequence, Set
from pathlib import Path

import attrs
import numpy as np
import numpy.typing as npt

from lt_data.errors import ImageDecodeError, Problem
from lt_data.images.decoding import DicomFrame
from lt_data.images.dicom import frame_count
from lt_data.images.transfer_syntax import undecodable

WHOLE = -1
"""In place of a frame: the file is one sample."""


@attrs.frozen(kw_only=True)
class Expansion:
    """From rows to samples.

    Attributes:
        rows: Row of each sample, int64 of shape (N,), rising; rows that cannot be decoded have none.
        frames: Frame of each sample, int32 of shape (N,), `WHOLE` for none; None where no row has one.
        problems: One for each different reason why files cannot be decoded.
    """

    rows: npt.NDArray[np.int64]
    frames: npt.NDArray[np.int32] | None
    problems: tuple[Problem, ...]


def expand_dicom(
    root: Path, names: Sequence[str], dicom: Set[str], frame: DicomFrame, given: Sequence[int] | None = None
) -> Expansion:
    """Look into the headers of DICOM files; with `frame="all"` each of their frames becomes a sample.

    Args:
        root: Folder that the names are relative to.
        names: File of each row.
        dicom: Those of them that are DICOM.
        frame: `data.dicom_frame`.
        given: Frame that the row itself asks for, `WHOLE` where it does not.
    """
    counts, problems = _frame_counts(root, sorted(dicom), count_all=frame == "all")
    rows: list[int] = []
    frames: list[int] = []
    for row, name in enumerate(names):
        asked = WHOLE if given is None else given[row]
        count = counts.get(name, 1)
        wanted = range(count) if frame == "all" and asked == WHOLE and name in dicom else (asked,)
        if count:
            rows.extend(row for _ in wanted)
            frames.extend(wanted)
    found = np.array(frames, dtype=np.int32)
    return Expansion(
        rows=np.array(rows, dtype=np.int64), frames=found if (found != WHOLE).any() else None, problems=problems
    )


def _frame_counts(root: Path, names: Sequence[str], *, count_all: bool) -> tuple[dict[str, int], tuple[Problem, ...]]:
    """Number of frames by name, 0 for files that cannot be decoded and 1 for those not asked, and the reasons."""
    counts: dict[str, int] = {}
    files: dict[str, list[str]] = {}
    for name in names:
        path = root / name
        reason = undecodable(path)
        if reason is None:
            try:
                counts[name] = frame_count(path) if count_all else 1
                continue
            except ImageDecodeError as error:
                reason = str(error).removeprefix(f"{path}: ")
        counts[name] = 0
        files.setdefault(reason, []).append(str(path))
    return counts, tuple(Problem(paths[0], reason + _and_more(len(paths) - 1)) for reason, paths in files.items())


def _and_more(count: int) -> str:
    return f" (and {count} more file{'' if count == 1 else 's'} below the same folder)" if count else ""
