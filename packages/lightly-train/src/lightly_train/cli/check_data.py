"""`lightly-train check-data`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from lightly_train.cli.printing import show_progress

EXIT_PROBLEMS = 2
"""Exit status when the data have problems."""


def check_data(
    data: Path,
    *,
    classification_task: Literal["multiclass", "multilabel"] = "multiclass",
    num_channels: int = 3,
    num_workers: int | None = None,
    json: bool = False,
) -> int:
    """Read a whole data set and print what is wrong with it; nothing is changed.

    Exit status 2 says that there are problems, unreadable files, or files in more than one split.

    Args:
        data: YAML file with the keys train and val, or train_csv and val_csv, and others such as classes.
        classification_task: As for train.
        num_channels: As images are read in training: 1 grey, 3 RGB, 4 RGBA; others must be the images' own.
        num_workers: Threads that read; one for each processor if not given.
        json: Print everything as JSON.
    """
    from lt_data import check

    report = check(
        data, classification_task, num_channels=num_channels, num_workers=num_workers, progress=show_progress
    )
    print(report.to_json() if json else report.table(), flush=True)
    return 0 if report.ok else EXIT_PROBLEMS
