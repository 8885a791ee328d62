"""The data check's report as plain text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from lt_data.errors import Problem, num_problems
from lt_data.index.check_report import ASPECT_LIMIT, SHORT_SIDE, DataReport, Duplicates, ImageSize, SplitReport

WIDTH = 100
EXAMPLES = 10
"""More are counted."""


def table(report: DataReport) -> str:
    """Figures of all splits side by side, then examples of everything that was found."""
    heading = f"data check ({report.task}): {_verdict(report)}"
    lines = [*textwrap.wrap(heading, WIDTH, subsequent_indent="    "), "", *_figures(report.splits)]
    lines += _section("Problems", [_problem(problem) for problem in report.problems])
    lines += _section("Files in more than one split", [_duplicates(leak) for leak in report.leaks])
    for split in report.splits:
        lines += _details(split)
    return "\n".join(lines) + "\n"


def _verdict(report: DataReport) -> str:
    """How much of each kind there is of what makes a report not `ok`."""
    counts = (
        (num_problems([*report.problems, *(p for split in report.splits for p in split.problems)]), "problem", ""),
        (sum(len(split.truncated) for split in report.splits), "truncated file", ""),
        (sum(len(split.unreadable) for split in report.splits), "unreadable file", ""),
        (sum(len(split.contradictions) for split in report.splits), "image", " with different labels"),
        (len(report.leaks), "file", " in more than one split"),
    )
    found = [f"{count} {what}{'' if count == 1 else 's'}{where}" for count, what, where in counts if count]
    return ", ".join(found) or "no problem found"


def _figures(splits: Sequence[SplitReport]) -> Iterator[str]:
    rows = [
        ("", [split.split for split in splits]),
        ("samples", [str(split.samples) for split in splits]),
        ("classes with samples", [f"{_used(split)} of {len(split.counts)}" for split in splits]),
        ("largest class / smallest", ["-" if s.imbalance is None else f"{s.imbalance:.1f}" for s in splits]),
        ("problems", [str(num_problems(split.problems)) for split in splits]),
        ("truncated files", [str(len(split.truncated)) for split in splits]),
        ("unreadable files", [str(len(split.unreadable)) for split in splits]),
        ("files more than once", [str(len(split.duplicates)) for split in splits]),
        ("... with different labels", [str(len(split.contradictions)) for split in splits]),
        (f"longer than {ASPECT_LIMIT:g} to 1", [str(len(split.elongated)) for split in splits]),
        (f"smaller than {SHORT_SIDE} pixels", [str(len(split.small)) for split in splits]),
        ("different sizes", ["-" if split.sizes is None else str(split.sizes.different) for split in splits]),
        ("width: least, median, most", ["-" if s.sizes is None else _three(s.sizes.width) for s in splits]),
        ("height: least, median, most", ["-" if s.sizes is None else _three(s.sizes.height) for s in splits]),
    ]
    for name, cells in rows if splits else ():
        yield f"{name:<28}" + "".join(f"{cell:>22}" for cell in cells)


def _used(split: SplitReport) -> int:
    return len(split.counts) - len(split.empty_classes)


def _three(values: tuple[int, int, int]) -> str:
    return ", ".join(map(str, values))


def _details(split: SplitReport) -> Iterator[str]:
    largest = sorted(split.counts.items(), key=lambda entry: -entry[1])
    copies = sorted(split.duplicates, key=lambda group: not group.conflicting)
    sections = (
        ("samples by class", [f"{count:>9}  {_shown(name)}" for name, count in largest]),
        ("classes without a sample", [_shown(name) for name in split.empty_classes]),
        ("notes", [_shown(note) for note in split.notes]),
        ("problems", [_problem(problem) for problem in split.problems]),
        ("truncated files", [_problem(problem) for problem in split.truncated]),
        ("unreadable files", [_problem(problem) for problem in split.unreadable]),
        ("files more than once", [_duplicates(group) for group in copies]),
        (f"longer than {ASPECT_LIMIT:g} to 1", [_size(image) for image in split.elongated]),
        (f"smaller than {SHORT_SIDE} pixels", [_size(image) for image in split.small]),
    )
    for title, entries in sections:
        count = num_problems(split.problems) if title == "problems" else len(entries)
        yield from _section(f"{split.split}: {title}", entries, count)


def _section(title: str, entries: Sequence[str], count: int | None = None) -> Iterator[str]:
    """A heading and the first few of `count` entries, wrapped; nothing without entries."""
    if not entries:
        return
    yield ""
    count = len(entries) if count is None else count
    yield f"{title} ({count})"
    for entry in entries[:EXAMPLES]:
        yield from textwrap.wrap(entry, WIDTH, initial_indent="  ", subsequent_indent="      ")
    if len(entries) > EXAMPLES:
        yield f"  and {count - EXAMPLES} more"


def _problem(problem: Problem) -> str:
    return f"{_shown(problem.where)}: {_shown(problem.what)}"


def _size(image: ImageSize) -> str:
    return f"{_shown(image.path)}: {image.width} x {image.height}"


def _duplicates(group: Duplicates) -> str:
    note = "different labels: " if group.conflicting else ""
    return note + "; ".join(f"{split}: {_some(files)}" for split, files in group.files.items())


def _some(files: Sequence[str]) -> str:
    more = [f"and {len(files) - EXAMPLES} more"] if len(files) > EXAMPLES else []
    return ", ".join([*map(_shown, files[:EXAMPLES]), *more])


def _shown(text: str) -> str:
    """Text that any terminal can show on one line: what it could not is escaped."""
    printable: Iterable[str] = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return "".join(printable)
