"""What is taken for what."""

from __future__ import annotations

import numpy as np

from lightly_train.report.data import ReportData
from lightly_train.report.figures import Ints, confusion_counts, most_confused, worst_classes
from lightly_train.report.markup import Html, joined, tag
from lightly_train.report.numbers import count, percent, short_count
from lightly_train.report.sections.parts import (
    MOST_TABLE_CLASSES,
    Section,
    class_name,
    figures_table,
    note,
    scrolled,
    weakest_first,
)
from lt_train import ClassTable

MOST_MATRIX_CLASSES = 30
MOST_PAIRS = 15
LEVELS = 10
"""Shades of a cell, besides none."""


def confusion(data: ReportData, table: ClassTable) -> Section:
    """What is taken for what."""
    names = data.scored.task.classes.names
    multilabel = data.scored.task.task == "multilabel"
    pairs = most_confused(data.scored, table, data.threshold, MOST_PAIRS)
    none = "No image lacks a label of its own and has a wrong one." if multilabel else "No class was confused."
    rows = [
        (class_name(names[pair.true]), class_name(names[pair.predicted]), count(pair.count), percent(pair.share))
        for pair in pairs
    ]
    head = ("Label", "Predicted instead", "Images", "Of the label's")
    found = figures_table("Most confused pairs", head, rows, text_columns=2) if rows else note(none)
    if multilabel:
        lead = (
            f"A class counts as predicted where its score is above {data.threshold:g}. A pair is an image that lacks a "
            "label of its own and has a wrong one."
        )
        return Section("confusion", "Confusions", lead, joined([_decisions(data, table), found]))
    size = len(names)
    chosen = np.arange(size) if size <= MOST_MATRIX_CLASSES else worst_classes(table, MOST_MATRIX_CLASSES)
    lead = (
        "A row is the label, a column what the model said; the darker a cell, the more of the row's images are in it."
    )
    cut = None
    if size > MOST_MATRIX_CLASSES:
        cut = note(
            f"Of {count(size)} classes, the {MOST_MATRIX_CLASSES} with the lowest F1; the last column is what was said "
            "of the others."
        )
    matrix = _matrix(confusion_counts(table, chosen), [names[i] for i in chosen], others=size > len(chosen))
    return Section("confusion", "Confusion matrix", lead, joined([cut, tag("div", matrix, found, class_="beside")]))


def _matrix(counts: Ints, names: list[str], *, others: bool) -> Html:
    """A table with one row a class; the shade of a cell is its share of the row."""
    shown = counts if others else counts[:, :-1]
    heads = [*(class_name(name) for name in names), *(["all others"] if others else [])]
    columns = [tag("th", tag("span", name), scope="col") for name in heads]
    corner = tag("td", "label ↓ predicted →", class_="corner")
    rows = []
    for name, row in zip(names, shown, strict=True):
        total = int(row.sum())
        cells = [tag("td", short_count(often) if often else "", class_=_shade(often, total)) for often in row.tolist()]
        rows.append(tag("tr", tag("th", class_name(name), scope="row"), *cells))
    caption = tag("caption", "Images of each class by predicted class")
    table = tag("table", caption, tag("thead", tag("tr", corner, *columns)), tag("tbody", *rows), class_="matrix")
    return scrolled(table, "Confusion matrix")


def _shade(often: int, total: int) -> str | None:
    return f"h{max(1, round(LEVELS * often / total))}" if often else None


def _decisions(data: ReportData, table: ClassTable) -> Html:
    """Right and wrong decisions of each class of a multilabel task."""
    truth, predicted = data.scored.truth.astype(np.bool_), data.scored.scores > data.threshold
    found, missed = (truth & predicted).sum(axis=0), (truth & ~predicted).sum(axis=0)
    added, rejected = (~truth & predicted).sum(axis=0), (~truth & ~predicted).sum(axis=0)
    names = data.scored.task.classes.names
    rows = [
        (class_name(names[i]), *(count(int(part[i])) for part in (found, missed, added, rejected)))
        for i in weakest_first(table.columns["f1"].tolist())[:MOST_TABLE_CLASSES]
    ]
    head = ("Class", "Found", "Missed", "Wrongly added", "Rightly not added")
    return figures_table("Decisions about each class", head, rows, sortable=True)
