"""What a model is, for people."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping

from lt_data import Calibration, Decoding, Preprocessing, TaskSpec, enumerated, listed, told_apart
from lt_models import Classifier

SHOWN_CLASSES = 20


def summary_rows(
    classifier: Classifier, task: TaskSpec, *, step: int | None, metrics: Mapping[str, float]
) -> list[tuple[str, str]]:
    """What there is to say of a model, each with its name.

    Args:
        classifier: The network.
        task: What it does.
        step: Optimiser steps it was trained for, None if that is not known.
        metrics: Values of its validation by logged name; those of single classes are left out.
    """
    total, in_backbone = (
        sum(parameter.numel() for parameter in module.parameters()) for module in (classifier, classifier.backbone)
    )
    weights = next(classifier.parameters())
    classes = [f"{i}: {told_apart(name)}" for i, name in task.classes.as_dict().items()]
    rows = [
        ("backbone", f"{classifier.spec.model}, {in_backbone:,} parameters, {classifier.num_features} features"),
        ("head", f"{classifier.spec.head}, {total - in_backbone:,} parameters"),
        ("task", task.task),
        ("classes", f"{len(classes)} ({enumerated(classes, SHOWN_CLASSES)})"),
        *_input_rows(task.preprocessing),
        *_calibration_rows(task.calibration),
        ("device", f"{weights.device}, {str(weights.dtype).removeprefix('torch.')}"),
    ]
    if step is not None:
        rows.append(("trained for", f"{step} steps"))
    shown = (f"{name} {value:.4g}" for name, value in metrics.items() if name.count("/") < 2 and math.isfinite(value))
    return [*rows, ("validation", ", ".join(shown))] if metrics else rows


def _input_rows(spec: Preprocessing) -> list[tuple[str, str]]:
    height, width = spec.image_size
    how = f"crop of 1 / {spec.resize_scale:g} of the side" if spec.resize_mode == "crop" else spec.resize_mode
    mean, std = (", ".join(f"{value:.4g}" for value in values) for values in (spec.mean, spec.std))
    rows = [
        ("input", f"{height} x {width} pixels, {spec.num_channels} channels"),
        ("preprocessing", f"{how}, {spec.interpolation}, mean ({mean}), std ({std})"),
    ]
    return rows if spec.decoding == Decoding() else [*rows, ("decoding", str(spec.decoding))]


def _calibration_rows(calibration: Calibration) -> list[tuple[str, str]]:
    if calibration == Calibration():
        return []
    thresholds = [f"{threshold:.4g}" for threshold in calibration.thresholds or ()]
    shown = f", thresholds {listed(thresholds, SHOWN_CLASSES)}" if thresholds else ""
    return [("calibration", f"temperature {calibration.temperature:.4g}{shown}")]


def as_text(title: str, rows: list[tuple[str, str]]) -> str:
    """A line for each row below the title, in two columns."""
    width = max(len(name) for name, _ in rows)
    return "\n".join([title, *(f"  {name:<{width}}  {text}" for name, text in rows)])


def as_html(title: str, rows: list[tuple[str, str]]) -> str:
    """A table for notebooks; names of classes and models are text in it, whatever they hold."""
    cells = (
        f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
        f"<td style='text-align:left'>{html.escape(text)}</td></tr>"
        for name, text in rows
    )
    return f"<table><caption>{html.escape(title)}</caption>{''.join(cells)}</table>"
