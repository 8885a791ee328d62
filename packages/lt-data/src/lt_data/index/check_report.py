"""What the data check says."""

from __future__ import annotations

import json

import attrs

from lt_data.errors import Problem
from lt_data.task import TaskName

ASPECT_LIMIT = 5.0
"""Images whose longer side is more than this many times the shorter are called elongated."""
SHORT_SIDE = 32
"""Images whose shorter side has fewer pixels are called small."""


@attrs.frozen
class ImageSize:
    """An image of an odd shape.

    Attributes:
        path: The file.
        width: In pixels.
        height: In pixels.
    """

    path: str
    width: int
    height: int


@attrs.frozen
class Sizes:
    """The sizes of the readable images of a split.

    Attributes:
        different: Number of different pairs of width and height.
        width: Least, median and greatest width in pixels.
        height: Least, median and greatest height in pixels.
    """

    different: int
    width: tuple[int, int, int]
    height: tuple[int, int, int]


@attrs.frozen
class Duplicates:
    """Files with the same bytes.

    Attributes:
        files: Paths of the files by split.
        conflicting: Whether they have different labels.
    """

    files: dict[str, tuple[str, ...]]
    conflicting: bool


@attrs.frozen(kw_only=True)
class SplitReport:
    """One split.

    Attributes:
        split: `"train"`, `"val"` or `"test"`.
        samples: Number of samples, those that cannot be read included.
        counts: Number of samples by class name.
        imbalance: Samples of the largest class for each of the smallest that has any; None without samples.
        problems: Where folders and tables differ from the description: missing files, unknown labels and the like;
            their rows and files are not among the samples.
        truncated: Files that end too early, and the decoder's words for it.
        unreadable: Files that cannot be read for another reason, and the reason.
        duplicates: Files that are in the split more than once.
        elongated: Images with an aspect ratio above 5.
        small: Images whose shorter side is below 32 pixels.
        sizes: Sizes of the readable images, None if there is none.
        notes: What the scan passed over, such as files without the ending of an image, and classes that may be
            mistyped.
    """

    split: str
    samples: int
    counts: dict[str, int]
    imbalance: float | None
    problems: tuple[Problem, ...]
    truncated: tuple[Problem, ...]
    unreadable: tuple[Problem, ...]
    duplicates: tuple[Duplicates, ...]
    elongated: tuple[ImageSize, ...]
    small: tuple[ImageSize, ...]
    sizes: Sizes | None
    notes: tuple[str, ...] = ()

    @property
    def empty_classes(self) -> tuple[str, ...]:
        """Names of the classes without a sample."""
        return tuple(name for name, count in self.counts.items() if not count)

    @property
    def contradictions(self) -> tuple[Duplicates, ...]:
        """Those of the `duplicates` that have different labels."""
        return tuple(group for group in self.duplicates if group.conflicting)


@attrs.frozen(kw_only=True)
class DataReport:
    """What `lt_data.check` found; `print(report)` shows it as a table.

    Attributes:
        task: `"multiclass"` or `"multilabel"`.
        problems: What is wrong with no split in particular, such as a missing folder.
        splits: The splits that could be looked at.
        leaks: Files that are in more than one split.
    """

    task: TaskName
    problems: tuple[Problem, ...]
    splits: tuple[SplitReport, ...]
    leaks: tuple[Duplicates, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong.

        Problems are wrong, files that cannot be read or are in more than one split, and files with the same bytes and
        different labels; copies with the same labels are not.
        """
        wrong = any(s.problems or s.truncated or s.unreadable or s.contradictions for s in self.splits)
        return not (self.problems or self.leaks or wrong)

    def to_json(self) -> str:
        """Everything in the report as JSON, in ASCII."""
        return json.dumps({"ok": self.ok, **attrs.asdict(self)}, indent=2)

    def table(self) -> str:
        """The report as text of at most 100 columns, with at most 10 examples of a kind."""
        from lt_data.index.check_table import table

        return table(self)

    def __str__(self) -> str:
        return self.table()
