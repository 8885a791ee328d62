"""Logged names of metrics as people call them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from lightly_train.report.numbers import MISSING, percent, plain
from lt_train.metrics import LOSS, TRAIN, VAL

AVERAGES = {"micro": "micro", "macro": "macro", "weighted": "weighted"}
METRICS: Mapping[str, str] = MappingProxyType(
    {
        "accuracy": "Accuracy",
        "f1": "F1",
        "precision": "Precision",
        "recall": "Recall",
        "balanced_accuracy": "Balanced accuracy",
        "matthews_corrcoef": "Matthews coefficient",
        "expected_calibration_error": "Calibration error",
        "auroc": "AUROC",
        "average_precision": "Average precision",
        "hamming_distance": "Hamming distance",
        "exact_match": "Exact match",
    }
)
NO_SHARES = frozenset({LOSS, f"{VAL}matthews_corrcoef"})
"""Values that are no share of anything."""


def metric_name(logged: str) -> str:
    """`val_metric/top1_acc_micro` is "Top-1 accuracy", `val_metric/f1/cat` is "F1 of cat"."""
    if logged == LOSS:
        return "Loss"
    name = logged.removeprefix(VAL).removeprefix(TRAIN)
    key, of_class, class_name = name.partition("/")
    if of_class:
        return f"{METRICS.get(key, key)} of {class_name}"
    stem, _, average = name.rpartition("_")
    if average not in AVERAGES:
        return METRICS.get(name, name)
    if stem.startswith("top") and stem.endswith("_acc"):
        shown = f"Top-{stem[3:-4]} accuracy"
        return shown if average == "micro" else f"{shown} ({average})"
    return f"{METRICS.get(stem, stem)} ({average})"


def training_twin(logged: str) -> str:
    """The same metric of the training batches: of `val_metric/f1_macro` it is `train_metric/f1_macro`."""
    return f"{TRAIN}{logged.removeprefix(VAL)}"


def metric_value(logged: str, value: float | None) -> str:
    """A value of a metric with its unit."""
    if value is None:
        return MISSING
    return plain(value) if logged in NO_SHARES else percent(value)
