"""The metrics of a run, of scores that are there already."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from lt_data import TaskSpec
from lt_train.metrics.build import make_tally
from lt_train.metrics.config import MetricArgs
from lt_train.metrics.plan import plan_metrics
from lt_train.metrics.tally import ClassTable

ROWS = 4096
"""So many samples are counted at once: what is computed on the way takes memory for each sample and class."""


@attrs.frozen(eq=False, kw_only=True)
class Measurement:
    """What scores amount to.

    Attributes:
        samples: How many there were.
        metrics: Values by name, such as `f1_macro`, or `f1/cat` of a single class; NaN where one is not defined, and
            all of them where a score is not finite.
        table: Figures of each class, and the confusions.
    """

    samples: int
    metrics: dict[str, float]
    table: ClassTable


def measure(
    task: TaskSpec, scores: npt.NDArray[np.float32], targets: npt.NDArray[Any], args: MetricArgs | None = None
) -> Measurement:
    """Count scores as validation does: of the same scores it has the same values, to the bit.

    Args:
        task: What the scores are of.
        scores: Probabilities, float32 of shape (N, classes), in output order.
        targets: Class indices, integers of shape (N,); for multilabel 0 and 1, or bool, of shape (N, classes).
        args: Which metrics; None takes those of the task.

    Raises:
        TrainConfigError: A metric is asked for that the task does not have.
    """
    plan = plan_metrics(args or MetricArgs(), task.task, task.classes.names, task.calibration.thresholds)
    tally = make_tally(plan)
    for start in range(0, len(scores), ROWS):
        tally.update(scores[start : start + ROWS], targets[start : start + ROWS])
    return Measurement(samples=tally.samples, metrics=tally.values(), table=tally.table())
