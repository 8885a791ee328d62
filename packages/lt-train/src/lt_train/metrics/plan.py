"""Which metrics a run computes: the user's settings, with nothing left open."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs

from lt_data import listed
from lt_train.errors import TrainConfigError
from lt_train.metrics.config import (
    AccuracyArgs,
    Average,
    AverageArgs,
    CalibrationArgs,
    MetricArgs,
    PlainArgs,
    TaskName,
)

LOSS = "val_loss"
TEST_LOSS = "test_loss"
VAL, TRAIN, TEST = "val_metric/", "train_metric/", "test_metric/"

LESS_IS_BETTER = frozenset({LOSS, f"{VAL}hamming_distance", f"{VAL}expected_calibration_error"})

WATCHED: Mapping[TaskName, str] = MappingProxyType(
    {"multiclass": f"{VAL}top1_acc_micro", "multilabel": f"{VAL}f1_macro"}
)

KINDS: Mapping[str, Any] = MappingProxyType(
    {
        "accuracy": AccuracyArgs,
        "f1": AverageArgs,
        "precision": AverageArgs,
        "recall": AverageArgs,
        "balanced_accuracy": PlainArgs,
        "matthews_corrcoef": PlainArgs,
        "expected_calibration_error": CalibrationArgs,
        "auroc": AverageArgs,
        "average_precision": AverageArgs,
        "hamming_distance": PlainArgs,
        "exact_match": PlainArgs,
    }
)
"""Settings of each metric, by key, in the order in which values are logged."""

OF_TASK: Mapping[TaskName, tuple[str, ...]] = MappingProxyType(
    {
        "multiclass": (
            *("accuracy", "f1", "precision", "recall"),
            *("balanced_accuracy", "matthews_corrcoef", "expected_calibration_error"),
        ),
        "multilabel": (
            *("f1", "accuracy", "auroc", "average_precision"),
            *("hamming_distance", "precision", "recall", "exact_match"),
        ),
    }
)
OFF_BY_DEFAULT = frozenset({"balanced_accuracy", "matthews_corrcoef", "expected_calibration_error", "exact_match"})


@attrs.frozen(kw_only=True)
class MetricPlan:
    """The metrics of a run.

    Attributes:
        task: Multiclass or multilabel.
        classes: Class names in output order.
        metrics: Settings by key, only of those that are computed.
        threshold: Of multilabel scores; one for all classes, or one for each.
        classwise: Whether each class has values of its own.
        train: Whether training batches are measured too.
    """

    task: TaskName
    classes: tuple[str, ...]
    metrics: Mapping[str, Any]
    threshold: float | tuple[float, ...]
    classwise: bool
    train: bool

    def averages(self, key: str) -> tuple[Average, ...]:
        """Averages of a metric, none if it is off."""
        args = self.metrics.get(key)
        if args is None:
            return ()
        if args.average != "auto":
            chosen: tuple[Average, ...] = args.average
            return chosen
        if key == "accuracy":
            return ("micro",)
        both = self.task == "multilabel" and key in ("f1", "precision", "recall")
        return ("macro", "micro") if both else ("macro",)

    def resolved(self) -> dict[str, dict[str, Any] | None]:
        """Settings of every metric by key, as plain values with nothing left open; None of one that is off."""
        found: dict[str, dict[str, Any] | None] = {}
        for key in KINDS:
            args = self.metrics.get(key)
            found[key] = None if args is None else attrs.asdict(args)
            if isinstance(args, AverageArgs):
                found[key] = {"average": list(self.averages(key))}
            elif isinstance(args, AccuracyArgs):
                of_samples = {"topk": list(self.topk), "average": list(self.averages(key))}
                found[key] = of_samples if self.task == "multiclass" else {}
        return found

    @property
    def topk(self) -> tuple[int, ...]:
        """Each k of top-k accuracy that says something with so many classes."""
        args = self.metrics.get("accuracy")
        return tuple(k for k in args.topk if k == 1 or k < len(self.classes)) if args is not None else ()

    @property
    def num_bins(self) -> int:
        """Of the calibration error, 0 when it is off."""
        args = self.metrics.get("expected_calibration_error")
        return args.num_bins if args is not None else 0

    @property
    def keeps_scores(self) -> bool:
        """Whether a metric needs the scores of all samples at once."""
        return "auroc" in self.metrics or "average_precision" in self.metrics


def plan_metrics(
    args: MetricArgs, task: TaskName, classes: tuple[str, ...], thresholds: tuple[float, ...] | None = None
) -> MetricPlan:
    """Decide what is computed.

    Args:
        args: The user's settings.
        task: Multiclass or multilabel.
        classes: Class names in output order.
        thresholds: What `threshold="auto"` takes, if the model has any.

    Raises:
        TrainConfigError: A metric is asked for, or `threshold` set, that the task does not have.
    """
    asked = {key: getattr(args, key) for key in KINDS}
    other: TaskName = "multilabel" if task == "multiclass" else "multiclass"
    strange = [key for key, value in asked.items() if isinstance(value, KINDS[key]) and key not in OF_TASK[task]]
    if task == "multiclass" and args.threshold != attrs.fields(MetricArgs).threshold.default:
        strange.append("threshold")
    if strange:
        raise TrainConfigError(f"metric_args: only {other} tasks have {listed(strange)}; this one is {task}")
    if args.threshold == "auto" and thresholds is None:
        raise TrainConfigError(
            'metric_args.threshold is "auto", but there are no thresholds: in training there are none yet, and for an '
            "evaluation `ImageClassification.calibrate` fits them; give a number"
        )
    metrics = {}
    for key in OF_TASK[task]:
        if isinstance(asked[key], KINDS[key]):
            metrics[key] = asked[key]
        elif asked[key] == "auto" and key not in OFF_BY_DEFAULT:
            metrics[key] = KINDS[key]()
    return MetricPlan(
        task=task,
        classes=classes,
        metrics=metrics,
        threshold=args.threshold if args.threshold != "auto" else thresholds or (),
        classwise=args.classwise,
        train=args.train,
    )
