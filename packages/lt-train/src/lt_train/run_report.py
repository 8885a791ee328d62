"""`metrics.json` and `per_class.csv`: what a run reached, for scripts and spreadsheets."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lt_data import TaskSpec, atomic_write
from lt_train.metrics.tally import ClassTable
from lt_train.run_folder import RunFolder

if TYPE_CHECKING:
    from lt_train.state import Validation

DENSE_CLASSES = 1000
"""Up to so many classes the confusions are a matrix."""

FORMAT = "lightly-train/metrics"
VERSION = 1


def write_report(
    folder: RunFolder, task: TaskSpec, watched: str, best: Validation, last: Validation, test: Validation | None = None
) -> None:
    """Write both files, and `test_per_class.csv` where there was a test, each whole or not at all.

    Args:
        folder: Where.
        task: Names the classes.
        watched: Logged name of the metric that decided.
        best: The validation that `per_class.csv` and the confusions are of.
        last: The last one.
        test: The test, with the step of the model that was tested.
    """
    document = {
        "format": FORMAT,
        "version": VERSION,
        "task": task.task,
        "classes": {str(i): name for i, name in task.classes.as_dict().items()},
        "watched": watched,
        "best": _validation(best),
        "last": _validation(last),
    }
    if task.task == "multiclass":
        document["confusion"] = confusion_counts(best.table, task)
    if test is not None:
        confusions = {"confusion": confusion_counts(test.table, task)} if task.task == "multiclass" else {}
        document["test"] = _validation(test) | confusions
        write_per_class(folder.test_per_class, test.table, task)
    write_json(folder.report, document)
    write_per_class(folder.per_class, best.table, task)


def write_per_class(path: Path, table: ClassTable, task: TaskSpec) -> None:
    """Write `per_class_csv` to a file, whole or not at all."""
    with atomic_write(path) as stream:
        stream.write(per_class_csv(table, task).encode())


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write plain values as JSON that people can read, whole or not at all."""
    with atomic_write(path) as stream:
        stream.write((json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def per_class_csv(table: ClassTable, task: TaskSpec) -> str:
    """CSV with one row a class, in output order; a cell is empty where there is no value."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["class_id", "name", "support", *table.columns])
    for i, (class_id, name) in enumerate(task.classes.as_dict().items()):
        figures = (float(column[i]) for column in table.columns.values())
        writer.writerow([class_id, name, int(table.support[i]), *("" if math.isnan(x) else x for x in figures)])
    return text.getvalue()


def confusion_counts(table: ClassTable, task: TaskSpec) -> dict[str, Any]:
    """How often each class was predicted as each.

    Returns:
        Up to `DENSE_CLASSES` classes `counts`, a row for each class with a column for each predicted class, in output
        order. Above, `pairs`: class ID, predicted class ID and how often, for those that occur.
    """
    ids = task.classes.ids
    if len(ids) <= DENSE_CLASSES:
        return {"counts": table.confusion_matrix().tolist()}
    return {"pairs": [[ids[true], ids[predicted], often] for true, predicted, often in table.confusion.tolist()]}


def finite_or_none(values: Mapping[str, float]) -> dict[str, float | None]:
    """Values as JSON has them: null where one is not defined."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _validation(validation: Validation) -> dict[str, Any]:
    return {"step": validation.step, "metrics": finite_or_none(validation.metrics)}
