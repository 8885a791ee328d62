"""Classes that may be slips of the pen, where the data themselves name the classes."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

import attrs
import numpy as np

from lt_data.data_config import DataConfig
from lt_data.errors import enumerated
from lt_data.index.labels import WHOLE_AS_FLOAT, shown
from lt_data.index.samples import SampleIndex
from lt_data.task import TaskName

EXAMPLES = 5
"""More are counted."""

LABEL_MARKS = (";", "|")
"""What separates labels in practice, the default of `label_delimiter` aside."""

UNSEEN = ("Cc", "Cf", "Zl", "Zp", "Zs")
"""Unicode categories of blanks and of characters that no screen shows."""


def doubtful_names(names: Sequence[str], config: DataConfig, task: TaskName, *, from_table: bool) -> Iterator[str]:
    """Lines on names that look alike, that are numbers as pandas writes them, and that may be several labels.

    Args:
        names: Of the classes that take part.
        config: Its `label_delimiter` counts as chosen where it is not the default.
        task: As for `scan_sources`.
        from_table: Whether the names are labels of a table; else of folders.
    """
    groups = _alike(names)
    if groups:
        where = "the table" if from_table else "the folders"
        hint = f"mend {where}, or give `classes` to have all other names refused"
        yield f"classes that differ in case, blanks or Unicode form only: {_some(groups)}; {hint}"
    if from_table and config.csv_label_columns is None and all(WHOLE_AS_FLOAT.fullmatch(name) for name in names):
        yield (
            f"classes that are whole numbers written as floats: {_some(names)}; pandas does so where a column once had "
            "a gap, .astype('Int64') mends it, and csv_label_type \"id\" takes IDs of `classes`"
        )
    if not from_table or config.label_delimiter != attrs.fields(DataConfig).label_delimiter.default:
        return
    for mark in LABEL_MARKS:
        marked = [shown(name) for name in names if mark in name]
        if marked:
            multilabel = "" if task == "multilabel" else ", and the task to multilabel,"
            hint = f"set data.label_delimiter to {mark!r}{multilabel} if that separates labels"
            yield f"classes with {mark!r} in their name: {_some(marked)}; {hint}"


def doubtful_counts(samples: SampleIndex, names: Sequence[str]) -> Iterator[str]:
    """A line on the classes that have a single sample, as a mistyped label has."""
    counts = np.bincount(samples.labels, minlength=len(names))
    single = [shown(name) for name, count in zip(names, counts, strict=True) if count == 1]
    if single:
        which = "class has one sample" if len(single) == 1 else "classes have one sample each"
        hint = "where that is a mistyped name, mend it, or give `classes` to have all other names refused"
        yield f"{len(single)} {which}: {_some(single)}; {hint}"


def _some(texts: Sequence[str]) -> str:
    return enumerated(texts, EXAMPLES)


def _alike(names: Sequence[str]) -> list[str]:
    """Groups of names that differ in case, blanks or Unicode form only, as text."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(_folded(name), []).append(name)
    return [_group(group) for group in groups.values() if len(group) > 1]


def _folded(name: str) -> str:
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(c for c in folded if unicodedata.category(c) not in UNSEEN)


def _group(names: Sequence[str]) -> str:
    # Forms of one letter look the same on a screen.
    differ = len({unicodedata.normalize("NFC", name) for name in names}) == len(names)
    return " and ".join(map(shown if differ else ascii, names))
