"""What sections are made of."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import numpy.typing as npt

from lightly_train.report.data import ReportData
from lightly_train.report.markup import Child, Html, shown_name, tag

MOST_LABELS = 5
"""Of a multilabel image in a caption."""

MOST_TABLE_CLASSES = 1000
"""Rows of a table of classes."""


@attrs.frozen
class Section:
    """A part of the page.

    Attributes:
        name: Its anchor.
        title: Its heading.
        lead: How to read it.
        body: Its content.
    """

    name: str
    title: str
    lead: str
    body: Html


def class_name(name: str) -> Html:
    """A class's name, shortened if it is long; an empty one is said to be so."""
    return shown_name(name) if name.strip() else tag("i", "(no name)")


def label_list(data: ReportData, labels: Sequence[int] | npt.NDArray[np.integer]) -> Html:
    """Names of some classes, at most `MOST_LABELS` of them."""
    names = data.scored.task.classes.names
    shown = [names[i] for i in labels[:MOST_LABELS]]
    more = f" and {len(labels) - MOST_LABELS} more" if len(labels) > MOST_LABELS else ""
    pieces: list[Child] = [piece for name in shown for piece in (", ", class_name(name))]
    return tag("b", *(pieces[1:] or ["no label"]), more)


def note(text: str) -> Html:
    """A remark."""
    return tag("p", text, class_="note")


def scrolled(content: Html, label: str = "Table") -> Html:
    """Something wide, which scrolls by itself, with the keyboard too."""
    return tag("div", content, class_="scroll card", tabindex="0", role="region", aria_label=label)


def figures_table(
    caption: str, head: Sequence[str], rows: Sequence[Sequence[Child]], *, text_columns: int = 1, sortable: bool = False
) -> Html:
    """A table whose first columns are text and whose others are figures.

    Args:
        caption: What it is of.
        head: Names of the columns.
        rows: Cells; the first heads its row.
        text_columns: How many columns are text.
        sortable: Whether a click on a column's name sorts by it.
    """
    kinds = ["text" if i < text_columns else "figure" for i in range(len(head))]
    heading = tag("tr", *(tag("th", text, scope="col", class_=kind) for text, kind in zip(head, kinds, strict=True)))
    body = [
        tag(
            "tr",
            tag("th", row[0], scope="row", class_="text"),
            *(tag("td", cell, class_=kind) for cell, kind in zip(row[1:], kinds[1:], strict=True)),
        )
        for row in rows
    ]
    caption_ = tag("caption", caption)
    table = tag("table", caption_, tag("thead", heading), tag("tbody", *body), class_="sortable" if sortable else None)
    return scrolled(table, caption)


def weakest_first(values: Sequence[float]) -> list[int]:
    """Indices by rising value, NaN last."""
    order: list[int] = np.argsort(np.nan_to_num(np.asarray(values), nan=np.inf), kind="stable").tolist()
    return order


def facts_table(rows: Sequence[tuple[str, str]], label: str) -> Html:
    """Names and values."""
    body = [tag("tr", tag("th", name, scope="row"), tag("td", shown_name(value, 300))) for name, value in rows]
    return scrolled(tag("table", tag("tbody", *body), class_="facts"), label)
