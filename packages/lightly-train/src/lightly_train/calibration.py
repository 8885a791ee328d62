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
from lightly_train.fitting import RANGE, Logits, Truth, fit_temperature, fit_thresholds, log_loss
from lightly_train.progress import ProgressArg
from lt_data import Calibration, Classes, PredictionArgumentError, Problem, TaskSpec, Threshold, listed
from lt_train import CalibrationArgs, MetricArgs, measure

if TYPE_CHECKING:
    from lightly_train.model import ImageClassification


logger = logging.getLogger(__name__)

NOTICEABLE = 5e-5
"""Half of the last digit that figures are shown with: a smaller rise is none."""


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
        notes: Sentences on what did not get better, why that may be, and what to do; the log has them too.
    """

    calibration: Calibration
    classes: Classes
    before: dict[str, float]
    after: dict[str, float]
    num_images: int
    unreadable: tuple[Problem, ...]
    without_images: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        unread = f", {len(self.unreadable)} more could not be read" if self.unreadable else ""
        lines = [f"{self.num_images} images{unread}", f"  temperature {self.calibration.temperature:.4f}"]
        lines += [f"  {name} {self.before[name]:.4f} -> {self.after[name]:.4f}" for name in self.before]
        if self.calibration.thresholds is not None:
            pairs = zip(self.classes.names, self.calibration.thresholds, strict=True)
            lines.append(f"  thresholds {listed([f'{name} {threshold:.4f}' for name, threshold in pairs])}")
        if self.without_images:
            lines.append(f"  no image of {listed(self.without_images)}")
        lines += [f"  note: {note}" for note in self.notes]
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
    current = model.task.calibration
    chosen, notes = _temperature(logits, truth) if temperature else (current.temperature, ())
    fitted = Calibration(temperature=chosen)
    if model.task.task == "multilabel":
        scores = _scores(logits, attrs.evolve(model.task, calibration=fitted))
        fitted = attrs.evolve(fitted, thresholds=fit_thresholds(scores, truth.astype(np.bool_)))
    before = _figures(logits, truth, model.task, attrs.evolve(current, thresholds=None))
    after = _figures(logits, truth, model.task, fitted)
    notes = (*notes, *no_better(before, after, num_images=len(logits), earlier=current.temperature))
    for note in notes:
        logger.warning("%s", note)
    images = np.count_nonzero(truth, axis=0) if truth.ndim == 2 else np.bincount(truth, minlength=logits.shape[1])
    return CalibrationResult(
        calibration=fitted,
        classes=model.task.classes,
        before=before,
        after=after,
        num_images=len(logits),
        unreadable=scored.unreadable,
        without_images=tuple(name for name, count in zip(model.task.classes.names, images, strict=True) if not count),
        notes=notes,
    )


def no_better(
    before: Mapping[str, float], after: Mapping[str, float], *, num_images: int, earlier: float
) -> tuple[str, ...]:
    """What a calibration did not make better on the images of its fit, as sentences for the user.

    Args:
        before: As of `CalibrationResult`.
        after: Likewise.
        num_images: Images of the fit.
        earlier: The temperature before.
    """
    rose = {name for name in before if after[name] > before[name] + NOTICEABLE}
    change = {name: f"from {before[name]:.4f} to {after[name]:.4f}" for name in before}
    notes = []
    if "log_loss" in rose:
        notes.append(
            f"log loss rose {change['log_loss']}: the model's earlier temperature of {earlier:.4g} fits these "
            f"{num_images} images better; do not save this one, or calibrate with more images"
        )
    elif "expected_calibration_error" in rose:
        notes.append(
            f"expected_calibration_error rose {change['expected_calibration_error']} though log loss did not: "
            f"{num_images} images may be too few for its bins; compare both with more images, by `evaluate`"
        )
    if "f1_macro" in before and after["f1_macro"] <= before["f1_macro"]:
        notes.append(
            f"f1_macro is no better with a threshold for each class: {after['f1_macro']:.4f}, and with 0.5 "
            f"{before['f1_macro']:.4f}; 0.5 does as well for these {num_images} images, or they are too few to tell: "
            "predict with 0.5, or calibrate with more images"
        )
    return tuple(notes)


def _temperature(logits: Logits, truth: Truth) -> tuple[float, tuple[str, ...]]:
    """The fitted temperature, or 1 where that is no worse, and what to tell of it.

    What counts as sure in the fit is less than 1, so of few images it can want softer scores than these bear out.
    """
    fitted = fit_temperature(logits, truth)
    loss, as_it_is = log_loss(logits, truth, fitted), log_loss(logits, truth, 1.0)
    if loss >= as_it_is:
        return 1.0, (
            f"the temperature is 1, not the fitted {fitted:.4g}: log loss on these images is {as_it_is:.4g} with 1 and "
            f"{loss:.4g} with {fitted:.4g}; of {len(logits)} images too few are wrong to say how sure the model "
            "may be: calibrate with more images that it was not trained on",
        )
    if not 1.01 / RANGE < fitted < RANGE / 1.01:
        return fitted, (
            f"the temperature is {fitted:.3g}, the end of the range: the logits do not say how sure the model is; look "
            "at the images, or fit without temperature",
        )
    return fitted, ()


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
