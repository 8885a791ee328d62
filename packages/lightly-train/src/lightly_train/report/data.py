"""What a report is made of; gathered once, then only read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import attrs
import numpy as np
import numpy.typing as npt
from PIL import Image

from lightly_train.scored import ScoredSamples


@attrs.frozen(eq=False)
class Series:
    """One line of a chart.

    Attributes:
        name: Shown in the legend.
        x: float64 of shape (N,), rising.
        y: float64 of shape (N,); NaN interrupts the line.
    """

    name: str
    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]


@attrs.frozen(eq=False)
class AugmentedSample:
    """A training image as validation and training see it.

    Attributes:
        caption: Its labels and file.
        views: RGB images: as validation sees it, then as epochs 0, 1, … do.
    """

    caption: str
    views: tuple[Image.Image, ...]


@attrs.frozen(eq=False, kw_only=True)
class ReportData:
    """All that a report shows.

    Attributes:
        title: Of the page.
        created: When the report was made, with a time zone.
        scored: Validation images, and what the model says of them.
        num_validation: Validation images there are; `scored` has fewer where it is a sample.
        threshold: Multilabel: a class counts as predicted where its score is greater.
        metrics: Values of the validation that the model is of, by logged name.
        watched: Logged name of the metric that decided which model is the best.
        facts: What was trained, as name and value.
        curves: Values over steps by logged name; empty where none were kept.
        best_step: Step of the model.
        class_counts: Images of each class by split, int64 of shape (classes,) each.
        augmented: Samples of the training images.
        arguments: Resolved arguments: name, value, reason or "".
        environment: Machine and versions, as name and value.
        notes: Sentences on what the reader must know before the figures.
    """

    title: str
    created: datetime
    scored: ScoredSamples
    num_validation: int
    threshold: float
    metrics: Mapping[str, float]
    watched: str
    facts: tuple[tuple[str, str], ...]
    curves: Mapping[str, Series]
    best_step: int
    class_counts: Mapping[str, npt.NDArray[np.int64]]
    augmented: tuple[AugmentedSample, ...]
    arguments: tuple[tuple[str, str, str], ...]
    environment: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
