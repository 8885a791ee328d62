"""What can be set about metrics."""

from __future__ import annotations

from typing import Any, Literal

import attrs

from lt_data import at_least, between

Auto = Literal["auto"]
Average = Literal["micro", "macro", "weighted"]
TaskName = Literal["multiclass", "multilabel"]

NUM_BINS = 15
"""Of the calibration error, as in Guo et al. 2017."""


def _inside(instance: object, attribute: attrs.Attribute[Any], value: float | Auto) -> None:
    if value != "auto" and not 0.0 < value < 1.0:
        raise ValueError(f"{attribute.name} must be above 0 and below 1, got {value:g}")


def _some(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value == () or (isinstance(value, tuple) and len(set(value)) < len(value)):
        raise ValueError(f"{attribute.name} must list at least one value, each once; None turns the metric off")


@attrs.frozen(kw_only=True)
class AccuracyArgs:
    """Accuracy.

    Attributes:
        topk: Multiclass: a sample counts where its class is among the k best, logged as `top1_acc_micro` and so on;
            a k that is not below the number of classes is left out. Multilabel knows no k.
        average: Multiclass: over samples (`micro`), over classes (`macro`), over classes by their samples
            (`weighted`); auto: micro. Multilabel has one `accuracy`: the share of all decisions, an image and a class
            each, that are right.
    """

    topk: tuple[int, ...] = attrs.field(default=(1, 5), validator=[at_least(1), _some])
    average: tuple[Average, ...] | Auto = attrs.field(default="auto", validator=_some)


@attrs.frozen(kw_only=True)
class AverageArgs:
    """A metric of each class, averaged over classes.

    Attributes:
        average: `micro` counts all classes together, `macro` gives each the same weight, `weighted` the number of its
            samples. auto: macro; of multilabel F1, precision and recall macro and micro.
    """

    average: tuple[Average, ...] | Auto = attrs.field(default="auto", validator=_some)


@attrs.frozen(kw_only=True)
class PlainArgs:
    """A metric without settings."""


@attrs.frozen(kw_only=True)
class CalibrationArgs:
    """Expected calibration error.

    Attributes:
        num_bins: Bins of equal width between the confidences 0 and 1.
    """

    num_bins: int = attrs.field(default=NUM_BINS, validator=between(1, 1000))


@attrs.frozen(kw_only=True)
class MetricArgs:
    """Which metrics are computed, and which decides.

    Each metric has a key: a dict of its settings, `{}` to take them as they are, or None to turn it off; auto: on where
    the task has it by default. Logged names are `val_metric/` and the metric's name with the average, such as
    `val_metric/f1_macro`.

    Attributes:
        watch_metric: Logged name of the metric that makes a model the best; auto: `val_metric/top1_acc_micro`, for
            multilabel `val_metric/f1_macro`. Of `val_loss`, `hamming_distance` and `expected_calibration_error` less
            is better.
        classwise: Log precision, recall and F1 of each class too, for multilabel also AUROC and average precision, as
            `val_metric/f1/cat`.
        train: Log the metrics of the training batches between two logs too, as `train_metric/...`; on a GPU each step
            then waits for its scores.
        threshold: Multilabel: a class counts as predicted where its score is greater, as in `predict`. `"auto"`, to
            evaluate a calibrated model: greater than the class's own threshold.
        accuracy: `top1_acc_micro` and `top5_acc_micro`; multilabel: `accuracy`.
        f1: `f1_macro`.
        precision: `precision_macro`.
        recall: `recall_macro`.
        balanced_accuracy: Multiclass, off by default: the mean recall of the classes.
        matthews_corrcoef: Multiclass, off by default: in [-1, 1], 0 for chance.
        expected_calibration_error: Multiclass, off by default: how far confidence is from accuracy.
        auroc: Multilabel: `auroc_macro`. Needs 5 bytes of memory for each validation image and class.
        average_precision: Multilabel: `average_precision_macro`, also called mAP. Memory likewise.
        hamming_distance: Multilabel: the share of all decisions that are wrong.
        exact_match: Multilabel, off by default: the share of images whose labels are all right.
    """

    watch_metric: str = "auto"
    classwise: bool = False
    train: bool = False
    threshold: float | Auto = attrs.field(default=0.5, validator=_inside)
    accuracy: AccuracyArgs | Auto | None = "auto"
    f1: AverageArgs | Auto | None = "auto"
    precision: AverageArgs | Auto | None = "auto"
    recall: AverageArgs | Auto | None = "auto"
    balanced_accuracy: PlainArgs | Auto | None = "auto"
    matthews_corrcoef: PlainArgs | Auto | None = "auto"
    expected_calibration_error: CalibrationArgs | Auto | None = "auto"
    auroc: AverageArgs | Auto | None = "auto"
    average_precision: AverageArgs | Auto | None = "auto"
    hamming_distance: PlainArgs | Auto | None = "auto"
    exact_match: PlainArgs | Auto | None = "auto"
