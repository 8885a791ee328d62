"""`lightly-train check-data`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import attrs

from lightly_train.cli.labelled import AS_GIVEN, KINDS, LabelledData
from lightly_train.cli.options import Option, options_of_class
from lightly_train.cli.printing import show_progress
from lightly_train.cli.typed import read_as
from lt_data import at_least

SUMMARY = (
    "Read a whole data set and print what is wrong with it; nothing is changed. Exit status 2 says that there are "
    "problems, unreadable files, or files in more than one split."
)
POSITIONAL = ("data",)
EXIT_PROBLEMS = 2
"""Exit status when the data have problems."""


@attrs.frozen(kw_only=True)
class Arguments:
    """What is checked.

    Attributes:
        data: YAML file with the keys train and val, or train_csv and val_csv, and others such as classes; a folder with
            folders train and val, a folder with one folder of images a class, or a CSV or Parquet file; or keys as
            options, of which val need not be there.
        classification_task: As for train.
        num_channels: As images are read in training: 1 grey, 3 RGB, 4 RGBA; others must be the images' own.
        num_workers: Threads that read; one for each processor if not given.
        json: Print everything as JSON.
    """

    data: LabelledData = attrs.field(metadata=AS_GIVEN)
    classification_task: Literal["multiclass", "multilabel"] = "multiclass"
    num_channels: int = attrs.field(default=3, validator=at_least(1))
    num_workers: int | None = attrs.field(default=None, validator=at_least(1))
    json: bool = False


def options() -> tuple[Option, ...]:
    """Every argument of `lt_data.check`."""
    return options_of_class(Arguments, KINDS)


def run(words: Sequence[str]) -> int:
    """Check the data that `words` name, and return the exit status.

    Raises:
        ConfigError: Lists every word, key and value that is wrong.
    """
    asked = read_as(Arguments, words, POSITIONAL, KINDS)
    from lt_data import check

    report = check(
        asked.data,
        asked.classification_task,
        num_channels=asked.num_channels,
        num_workers=asked.num_workers,
        progress=show_progress,
    )
    print(report.to_json() if asked.json else report.table(), flush=True)
    return 0 if report.ok else EXIT_PROBLEMS
