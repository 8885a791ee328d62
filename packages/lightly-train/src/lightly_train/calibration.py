"""Scores that mean what they say: a model's calibration, fitted on labelled images."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import attrs
import numpy as np
import numpy.typing as npt

from lightly_train.evaluation import score_split
from lightly_train.fitting import RANGE, Truth, fit_temperature, fit_thresholds, log_loss
from lightly_train.progress import ProgressArg
from lt_data import Calibration, Classes, PredictionArgumentError, Problem, SampleIndex, TaskSpec, Threshold, listed
from lt_train import CalibrationArgs, MetricArgs, ModelFileError, measure

if TYPE_CHECKING:
    from lightly_train.model import ImageClassification


logger = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class CalibrationResult:
    """What a calibration found; `print` shows it.

    Attributes:
        calibration: The temperature, and for multilabel the thresholds in output order.
        classes: IDs and names in this order.
        before: Figures of the model as it was, by name: `log_loss`, the mean cross entropy in nats; for multiclass
            `expected_calibration_error`, in [0, 1]; for multilabel `f1_macro`, with thresholds of 0.5.
        after: The same with this calibration; `f1_macro` with its thresholds.
        num_images: How many images it was fitted on.
        unreadable: Images that could not be read, and why; they were left out.
        without_images: Names of classes that no image has; for multilabel their threshold stays 0.5.
    """

    calibration: Calibration
    classes: Classes
    before: dict[str, float]
    after: dict[str, float]
    num_images: int
    unreadable: tuple[Problem, ...]
    without_images: tuple[str, ...]

    def __str__(self) -> str:
        unread = f", {len(self.unreadable)} more could not be read" if self.unreadable else ""
        lines = [f"{self.num_images} images{unread}", f"  temperature {self.calibration.temperature:.4f}"]
        lines += [f"  {name} {self.before[name]:.4f} -> {self.after[name]:.4f}" for name in self.before]
        if self.calibration.thresholds is not None:
            pairs = zip(self.classes.names, self.calibration.thresholds, strict=True)
            lines.append(f"  thresholds {listed([f'{name} {threshold:.4f}' for name, threshold in pairs])}")
        if self.without_images:
            lines.append(f"  no image of {listed(self.without_images)}")
        return "\n".join(lines)


def calibrate(
    model: ImageClassification,
    data: Mapping[str, Any] | str | os.PathLike[str],
    *,
    split: Literal["train", "val", "test"],
    temperature: bool,
    batch_size: int,
    num_workers: int | Literal["auto"],
    progress: ProgressArg,
) -> CalibrationResult:
    """Fit a calibration; arguments and errors as of `ImageClassification.calibrate`, which the model itself keeps."""
    if model.task.task == "multiclass" and not temperature:
        raise PredictionArgumentError("temperature=False leaves nothing to fit for multiclass, which has no thresholds")
    scored = score_split(
        model,
        data,
        split=split,
        batch_size=batch_size,
        num_workers=num_workers,
        progress=progress,
        doing="calibrating",
        with_logits=True,
    )
    logits, truth = scored.logits, scored.truth
    assert logits is not None
    check_finite(logits, scored.samples)
    current = model.task.calibration
    fitted = Calibration(temperature=fit_temperature(logits, truth) if temperature else current.temperature)
    if model.task.task == "multilabel":
        scores = _scores(logits, attrs.evolve(model.task, calibration=fitted))
        fitted = attrs.evolve(fitted, thresholds=fit_thresholds(scores, truth.astype(np.bool_)))
    if temperature and not 1.01 / RANGE < fitted.temperature < RANGE / 1.01:
        logger.warning(
            "the temperature is %.3g, the end of the range: the logits do not say how sure the model is; look at the "
            "images, or fit without temperature",
            fitted.temperature,
        )
    images = np.count_nonzero(truth, axis=0) if truth.ndim == 2 else np.bincount(truth, minlength=logits.shape[1])
    return CalibrationResult(
        calibration=fitted,
        classes=model.task.classes,
        before=_figures(logits, truth, model.task, attrs.evolve(current, thresholds=None)),
        after=_figures(logits, truth, model.task, fitted),
        num_images=len(logits),
        unreadable=scored.unreadable,
        without_images=tuple(name for name, count in zip(model.task.classes.names, images, strict=True) if not count),
    )


def check_finite(logits: npt.NDArray[np.float32], samples: SampleIndex) -> None:
    """Refuse a model whose scores are not numbers.

    Raises:
        ModelFileError: They are not for some image; names the first.
    """
    wrong = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if len(wrong):
        raise ModelFileError(
            f"the model's scores are not finite for {len(wrong)} of {len(logits)} images, the first of which is "
            f"{samples.path(int(wrong[0]))}: its weights are damaged, or too large for this precision"
        )


def _scores(logits: npt.NDArray[np.float32], task: TaskSpec) -> npt.NDArray[np.float32]:
    # Brings PyTorch, with which the model computes them too.
    import torch

    from lightly_train.scores import probabilities

    return probabilities(torch.from_numpy(logits), task).numpy()


def _figures(
    logits: npt.NDArray[np.float32], truth: Truth, task: TaskSpec, calibration: Calibration
) -> dict[str, float]:
    if task.task == "multilabel":
        threshold: Threshold = 0.5 if calibration.thresholds is None else "auto"
        name, metrics = "f1_macro", MetricArgs(threshold=threshold, auroc=None, average_precision=None)
    else:
        name, metrics = "expected_calibration_error", MetricArgs(expected_calibration_error=CalibrationArgs())
    task = attrs.evolve(task, calibration=calibration)
    measured = measure(task, _scores(logits, task), truth, metrics)
    return {"log_loss": log_loss(logits, truth, calibration.temperature), name: measured.metrics[name]}
