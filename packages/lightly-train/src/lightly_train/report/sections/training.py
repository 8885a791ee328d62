"""What was trained, how far it came, and how it got there."""

from __future__ import annotations

import attrs
import numpy as np

from lightly_train.report.charts import MOST_LINES, line_chart
from lightly_train.report.data import ReportData
from lightly_train.report.markup import joined, tag
from lightly_train.report.names import metric_name, metric_value, training_twin
from lightly_train.report.numbers import count, percent, plain, short_count
from lightly_train.report.sections.parts import Section, facts_table, note
from lt_train.metrics import LOSS, VAL, is_classwise


def headline(data: ReportData) -> Section:
    """The numbers that one asks for first."""
    names = [data.watched, *(name for name in data.metrics if name != data.watched and not is_classwise(name))]
    cards = [
        tag(
            "div",
            tag("dt", metric_name(name)),
            tag("dd", metric_value(name, data.metrics.get(name))),
            tag("dd", "decided", class_="badge") if name == data.watched else None,
            class_="card number main" if name == data.watched else "card number",
        )
        for name in names
    ]
    lead = (
        f"Of the {count(data.num_validation)} validation images, by the model of step {count(data.best_step)}; "
        "the number marked “decided” chose that step."
    )
    return Section(
        "headline",
        "Headline numbers",
        lead,
        joined([tag("dl", *cards, class_="numbers"), facts_table(data.facts, "What was trained")]),
    )


def curves(data: ReportData) -> Section:
    """Loss, accuracy, learning rate over the steps."""
    lead = "Each value as it was logged: loss should fall, accuracy should rise, and validation should follow training."
    watched = data.watched if data.watched.startswith(VAL) else ""
    accuracies = [watched, *(name for name in data.metrics if name.startswith(VAL) and not is_classwise(name))]
    shown = list(dict.fromkeys(name for name in accuracies if name in data.curves))[: MOST_LINES - 1]
    twin = training_twin(watched)
    shares = [(name, f"{metric_name(name)}, validation") for name in shown]
    shares += [(twin, f"{metric_name(twin)}, training")] if watched and twin in data.curves else []
    groups = [
        ("loss", "Loss", [("train_loss", "training"), (LOSS, "validation")], plain),
        ("accuracy", "Accuracy and other metrics", shares, lambda value: percent(value, 0)),
        ("rate", "Learning rate", [("learning_rate", "learning rate")], lambda value: f"{value:.2g}"),
        ("norm", "Gradient norm before clipping", [("gradient_norm", "gradient norm")], plain),
    ]
    charts = []
    for name, title, lines, y_format in groups:
        series = [attrs.evolve(data.curves[key], name=text) for key, text in lines if key in data.curves]
        series = [one for one in series if np.isfinite(one.y).any()]
        if series:
            charts.append(
                line_chart(
                    name,
                    series,
                    title=title,
                    x_label="step",
                    y_format=y_format,
                    x_format=lambda value: short_count(round(value)),
                    mark=(data.best_step, "model of this report") if name in ("loss", "accuracy") else None,
                )
            )
    body = (
        tag("div", *charts, class_="charts two")
        if charts
        else note("The run kept no values: metrics.jsonl is not there.")
    )
    return Section("curves", "Curves", lead, body)
