"""Whether scores mean what they say, and where to cut them."""

from __future__ import annotations

import numpy as np

from lightly_train.report.charts import confidence_chart, line_chart, reliability_chart
from lightly_train.report.data import ReportData, Series
from lightly_train.report.figures import THRESHOLDS, ThresholdCurve, reliability, threshold_curves
from lightly_train.report.markup import Html, joined, tag
from lightly_train.report.numbers import MISSING, count, percent
from lightly_train.report.sections.parts import (
    MOST_TABLE_CLASSES,
    Section,
    class_name,
    figures_table,
    note,
    weakest_first,
)

MOST_CLASS_CURVES = 11
"""With that of all decisions, three rows of four."""


def calibration(data: ReportData) -> Section:
    """Whether scores mean what they say."""
    found = reliability(data.scored)
    if data.scored.task.task == "multiclass":
        lead = (
            "Of all predictions with about 80 % confidence, 80 % should be right; a bar below the line means "
            "that the model is too sure of itself."
        )
        x_label, y_label = "confidence", "right"
    else:
        lead = (
            "Of all decisions, an image and a class each, with a score of about 80 %, 80 % should have the "
            "class; a bar below the line means that scores are too high."
        )
        x_label, y_label = "score", "has the class"
    charts = (
        reliability_chart("reliability", found, x_label=x_label, y_label=y_label),
        confidence_chart("confidences", found, x_label=x_label),
    )
    return Section("calibration", "Calibration", lead, tag("div", *charts, class_="charts two"))


def thresholds(data: ReportData) -> Section:
    """What other thresholds would give."""
    names, (micro, by_class) = data.scored.task.classes.names, threshold_curves(data.scored)
    lead = (
        "Above which score a class should count: a higher threshold gives fewer labels, which are right more "
        "often. The best threshold is that of these images; on others it will be a little worse."
    )
    support = data.scored.truth.sum(axis=0)
    weakest = weakest_first(
        [float(curve.f1.max()) if n else np.nan for curve, n in zip(by_class, support, strict=True)]
    )
    drawn = [i for i in weakest[:MOST_CLASS_CURVES] if support[i]]
    charts = [_threshold_chart("all", "All decisions (micro)", micro, data.threshold)]
    charts += [_threshold_chart(f"class{i}", names[i], by_class[i], data.threshold) for i in sorted(drawn)]
    at = int(np.abs(THRESHOLDS - np.float32(data.threshold)).argmin())
    rows = [
        (
            class_name(names[i]),
            count(int(support[i])),
            f"{THRESHOLDS[by_class[i].best]:.2f}" if support[i] else MISSING,
            percent(float(by_class[i].f1[by_class[i].best]) if support[i] else np.nan),
            percent(float(by_class[i].f1[at]) if support[i] else np.nan),
        )
        for i in weakest[:MOST_TABLE_CLASSES]
    ]
    head = ("Class", "Images", "Best threshold", "F1 there", f"F1 at {THRESHOLDS[at]:.2f}")
    cut = (
        note(f"The {len(drawn)} classes with the lowest best F1 are drawn; the table has all.")
        if np.count_nonzero(support) > len(drawn)
        else None
    )
    return Section(
        "thresholds",
        "Thresholds",
        lead,
        joined(
            [
                tag("div", *charts, class_="charts"),
                cut,
                figures_table("Best threshold of each class", head, rows, sortable=True),
            ]
        ),
    )


def _threshold_chart(name: str, title: str, curve: ThresholdCurve, threshold: float) -> Html:
    x = THRESHOLDS.astype(np.float64)
    lines = (("F1", curve.f1), ("precision", curve.precision), ("recall", curve.recall))
    return line_chart(
        f"threshold-{name}",
        [Series(text, x, values) for text, values in lines],
        title=title,
        x_label="threshold",
        x_range=(0.0, 1.0),
        y_range=(0.0, 1.0),
        x_format=lambda value: f"{value:.2g}",
        y_format=lambda value: percent(value, 0),
        mark=(threshold, f"{threshold:g}, used here"),
    )
