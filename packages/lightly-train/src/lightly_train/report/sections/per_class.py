"""Each class by itself."""

from __future__ import annotations

import numpy as np

from lightly_train.report.charts import bar
from lightly_train.report.data import ReportData
from lightly_train.report.markup import Html, joined, tag
from lightly_train.report.names import metric_name
from lightly_train.report.numbers import count, percent, times
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

MOST_BARS = 40
MOST_MISSING = 10
"""Classes without images that are named."""


def classes(data: ReportData, table: ClassTable) -> Section:
    """Figures of each class."""
    names, ids = data.scored.task.classes.names, data.scored.task.classes.ids
    order = weakest_first(table.columns["f1"].tolist())
    lead = (
        "The weakest classes come first. Precision: how many of those predicted are right. Recall: how many of "
        "those there are were found."
    )
    cut = None
    if len(order) > MOST_TABLE_CLASSES:
        cut = note(
            f"The {count(MOST_TABLE_CLASSES)} weakest of {count(len(order))} classes; per_class.csv has all of them."
        )
    columns = [key for key, values in table.columns.items() if np.isfinite(values).any() or key == "f1"]
    head = ("Class", "ID", "Images", *(metric_name(key) for key in columns))
    rows = [
        (
            class_name(names[i]),
            str(ids[i]),
            count(int(table.support[i])),
            *(percent(float(table.columns[key][i])) for key in columns),
        )
        for i in order[:MOST_TABLE_CLASSES]
    ]
    figures = figures_table("Figures of each class", head, rows, sortable=True)
    return Section("classes", "Per class", lead, joined([cut, _without_images(table, names), figures]))


def balance(data: ReportData) -> Section:
    """How many images each class has."""
    names = data.scored.task.classes.names
    splits = list(data.class_counts)
    counts = np.stack([data.class_counts[split] for split in splits])
    order = np.argsort(-counts[0], kind="stable")
    cut = None
    if len(order) > MOST_BARS:
        half = MOST_BARS // 2
        order = np.concatenate([order[:half], order[-half:]])
        cut = note(
            f"Of {count(len(names))} classes, the {half} with the most and the {half} with the fewest training images."
        )
    shares = counts / np.maximum(counts.max(axis=1, keepdims=True), 1)
    rows = []
    for i in order.tolist():
        cells = [
            tag("td", bar(float(shares[k, i]), f"s{k}"), tag("span", count(int(counts[k, i]))), class_="bars")
            for k in range(len(splits))
        ]
        rows.append(tag("tr", tag("th", class_name(names[i]), scope="row"), *cells))
    head = tag("tr", tag("th", "Class", scope="col"), *(tag("th", f"{split} images", scope="col") for split in splits))
    table = tag(
        "table", tag("caption", "Images of each class"), tag("thead", head), tag("tbody", *rows), class_="balance"
    )
    most, least = int(counts[0].max()), int(counts[0].min())
    ratio = (
        f"The largest class has {times(most / least)} times the training images of the smallest."
        if least
        else "There is a class without a training image."
    )
    lead = (
        "A class with few images is learnt less well; validation should look like training. Bars are relative "
        "to the largest class of the split."
    )
    return Section("balance", "Class balance", lead, joined([note(ratio), cut, scrolled(table, "Class balance")]))


def _without_images(table: ClassTable, names: tuple[str, ...]) -> Html | None:
    """Names of the classes that have no figures."""
    empty = [names[i] for i in np.flatnonzero(table.support == 0).tolist()]
    if not empty:
        return None
    pieces = [piece for name in empty[:MOST_MISSING] for piece in (", ", class_name(name))][1:]
    more = f" and {count(len(empty) - MOST_MISSING)} more" if len(empty) > MOST_MISSING else ""
    return tag("p", "Without a validation image, and so without figures: ", *pieces, more, ".", class_="note")
