"""The metrics of a trained or exported model on labelled images."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import attrs
import numpy as np
import numpy.typing as npt

from lightly_train.loading import load_any
from lightly_train.progress import ProgressArg, shown_progress
from lightly_train.scored import ScoredSamples
from lt_data import (
    PredictionArgumentError,
    Problem,
    TaskSpec,
    check_writable,
    index_for_model,
    is_whole,
    structure,
    usable_processors,
    user_path,
)
from lt_train import (
    ClassTable,
    MetricArgs,
    RunFolder,
    RunFolderError,
    confusion_counts,
    finite_or_none,
    measure,
    write_json,
    write_per_class,
)

if TYPE_CHECKING:
    import torch

    from lightly_train.model import ImageClassification
    from lt_export import EdgeClassifier

FORMAT = "lightly-train/evaluation"
VERSION = 1

FEW_IMAGES = 256
"""Below, loader processes take longer to start than they save."""

MOST_WORKERS = 16


@attrs.frozen(eq=False, kw_only=True)
class Evaluation:
    """How good a model is on labelled images; `print` shows it.

    Attributes:
        task: Task, classes and preprocessing of the model.
        metrics: Values by name: those of training without `val_metric/`, such as `f1_macro`, or `f1/cat` of one class;
            NaN where one is not defined.
        table: Figures of each class, and the confusions.
        num_images: How many images were scored.
        unreadable: Images that could not be read, and why; they are in no figure.
        scored: The images with their labels and scores.
    """

    task: TaskSpec
    metrics: dict[str, float]
    table: ClassTable = attrs.field(repr=False)
    num_images: int
    unreadable: tuple[Problem, ...]
    scored: ScoredSamples = attrs.field(repr=False)

    @property
    def per_class(self) -> list[dict[str, Any]]:
        """A dict for each class in output order, as a row of `per_class.csv`; NaN where there is no value."""
        rows = []
        for i, (class_id, name) in enumerate(self.task.classes.as_dict().items()):
            figures = {key: float(column[i]) for key, column in self.table.columns.items()}
            rows.append({"class_id": class_id, "name": name, "support": int(self.table.support[i]), **figures})
        return rows

    @property
    def confusion(self) -> npt.NDArray[np.int64] | None:
        """Multiclass: how often each class (row) was predicted as each (column), int64 of shape (classes, classes)."""
        return None if self.task.task == "multilabel" else self.table.confusion_matrix()

    def write(self, folder: str | os.PathLike[str]) -> None:
        """Write `metrics.json` and `per_class.csv`, the latter as a run has it; the folder is made where it is missing.

        Raises:
            RunFolderError: A run lies there, whose files of these names would be lost; or it cannot be written to.
        """
        root = checked_out(folder)
        root.root.mkdir(parents=True, exist_ok=True)
        document: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "task": self.task.task,
            "classes": {str(i): name for i, name in self.task.classes.as_dict().items()},
            "images": self.num_images,
            "unreadable": [attrs.asdict(problem) for problem in self.unreadable],
            "metrics": finite_or_none(self.metrics),
        }
        if self.task.task == "multiclass":
            document["confusion"] = confusion_counts(self.table, self.task)
        write_per_class(root.per_class, self.table, self.task)
        write_json(root.report, document)

    def __str__(self) -> str:
        unread = f", {len(self.unreadable)} more could not be read" if self.unreadable else ""
        width = max(map(len, self.metrics), default=0)
        lines = [f"{self.num_images} images{unread}", *(f"  {n:<{width}}  {v:.4f}" for n, v in self.metrics.items())]
        return "\n".join([*lines, "", *_aligned(self.per_class)])


def _aligned(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines of a table, texts to the left and numbers to the right; a value that is NaN is left empty."""
    shown = [[*rows[0]], *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    left = [isinstance(value, str) for value in rows[0].values()]
    return [
        "  ".join(f"{cell:{'<' if text else '>'}{width}}" for cell, width, text in zip(line, widths, left, strict=True))
        for line in shown
    ]


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.4f}"
    return str(value)


def evaluate(
    model: ImageClassification | EdgeClassifier | str | os.PathLike[str],
    data: Mapping[str, Any] | str | os.PathLike[str],
    *,
    split: Literal["train", "val", "test"] = "val",
    metric_args: Mapping[str, Any] | None = None,
    device: str | torch.device = "auto",
    batch_size: int = 16,
    num_workers: int | Literal["auto"] = "auto",
    progress: ProgressArg = "auto",
) -> Evaluation:
    """Measure a model on labelled images, with the scores of `predict` and the metrics of training.

    For a model and a split that a run validated with, the values are those that it reported.

    Args:
        model: A trained model, or one from `lt_export.load`; or the path of an exported model or checkpoint (.pt,
            .ckpt), an ONNX file (.onnx), or a TensorRT engine (.trt, .engine, .plan).
        data: What training takes, as a dict or the path of a YAML file, of which only `split` need be there; or a
            folder with one folder of images a class; or a CSV or Parquet file with the columns `image_path` and
            `label`. Classes, and how DICOM files are read, are the model's.
        split: Which part of a dict or YAML file; a folder or table is taken as it is.
        metric_args: As in training: `classwise`, `threshold`, and a key for each metric; see `lt_train.MetricArgs`.
            `threshold` may be `"auto"` here, for a calibrated model.
        device: Where the model of a path runs, as for `load_model`, or for `lt_export.load`; one that is loaded stays
            where it is.
        batch_size: Images at once.
        num_workers: Who reads images: processes for a PyTorch model, threads for others; auto: one for each usable
            processor, 16 at most, and no process for fewer than 256 images.
        progress: `"auto"` draws a bar on a terminal or in a notebook; True, False, or a function of the images done
            and in all.

    Raises:
        ConfigError: `data` or `metric_args` are wrong, or `data` names other classes or IDs than the model has.
        DatasetError: Files differ from their description, a class is unknown to the model, or too many of the
            images cannot be read.
        ImageDecodeError: One cannot be, and `data` has `on_bad_image: error`.
        TrainConfigError: A metric is asked for that the task does not have.
        PredictionArgumentError: `batch_size` or `num_workers` is out of range; or `device` is not there, or given with
            a loaded model.
        ModelFileError: The file of the model is missing, damaged or not ours; or the model's scores are not finite.
        EdgeModelError: Likewise, of an ONNX file or engine; or the engine cannot run here.
    """
    _check_counts(batch_size, num_workers)
    asked = structure(dict(metric_args or {}), MetricArgs, "metric_args")
    loaded = _loaded(model, device)
    task = loaded.task
    nothing = np.empty((0, len(task.classes)), dtype=np.float32)
    measure(task, nothing, nothing, asked)  # refuses metrics of other tasks before anything is read
    scored = score_split(
        loaded, data, split=split, batch_size=batch_size, num_workers=num_workers, progress=progress, doing="evaluating"
    )
    measured = measure(task, scored.scores, scored.truth, asked)
    return Evaluation(
        task=task,
        metrics=measured.metrics,
        table=measured.table,
        num_images=measured.samples,
        unreadable=scored.unreadable,
        scored=scored,
    )


def _loaded(
    model: ImageClassification | EdgeClassifier | str | os.PathLike[str], device: str | torch.device
) -> ImageClassification | EdgeClassifier:
    if isinstance(model, (str, os.PathLike)):
        return load_any(model, device=device)
    if not hasattr(model, "task"):
        raise PredictionArgumentError(f"expected a model, or the path of one, got {model!r}")
    if device != "auto":
        raise PredictionArgumentError(f"device: {device} is for the path of a model; this one is loaded already")
    return model


def score_split(
    model: ImageClassification | EdgeClassifier,
    data: Mapping[str, Any] | str | os.PathLike[str],
    *,
    split: Literal["train", "val", "test"],
    batch_size: int,
    num_workers: int | Literal["auto"],
    progress: ProgressArg,
    doing: str,
    with_logits: bool = False,
) -> ScoredSamples:
    """What a model says of labelled images; arguments and errors as of `evaluate`.

    Args:
        model: A loaded model.
        data: As of `evaluate`.
        split: Likewise.
        batch_size: Likewise.
        num_workers: Likewise.
        progress: Likewise.
        doing: What the progress bar is called.
        with_logits: Whether the logits are kept too; of a PyTorch model.
    """
    _check_counts(batch_size, num_workers)
    # Brings PyTorch, for which wrong arguments need not wait.
    from lightly_train.scoring import score_samples

    found = index_for_model(data, model.task, split=split)
    with shown_progress(progress, doing) as tell:
        return score_samples(
            model,
            found.samples,
            batch_size=batch_size,
            num_workers=_workers(num_workers, len(found.samples)),
            on_bad_image=found.on_bad_image,
            progress=tell,
            with_logits=with_logits,
        )


def checked_out(folder: str | os.PathLike[str]) -> RunFolder:
    """The folder that `Evaluation.write` is to write to; nothing is made.

    Raises:
        RunFolderError: As for `Evaluation.write`.
    """
    out = RunFolder(user_path(folder))
    if out.log.exists():
        raise RunFolderError(f"{out.root}: a run lies there, with files of the same names; choose another folder")
    if out.root.exists() and not out.root.is_dir():
        raise RunFolderError(f"{out.root}: is a file; name a folder")
    there = next((place for place in (out.root, *out.root.absolute().parents) if place.exists()), None)
    if there is None:
        raise RunFolderError(f"{out.root}: there is no such drive")
    try:
        check_writable(there)
    except OSError as error:
        raise RunFolderError(f"{there}: cannot be written to: {error.strerror}") from error
    return out


def _check_counts(batch_size: int, num_workers: int | Literal["auto"]) -> None:
    for name, value, least in (("batch_size", batch_size, 1), ("num_workers", num_workers, 0)):
        if name == "num_workers" and value == "auto":
            continue
        if not is_whole(value) or value < least:
            raise PredictionArgumentError(f"{name} must be an integer of at least {least}, got {value!r}")


def _workers(asked: int | Literal["auto"], num_images: int) -> int:
    if asked != "auto":
        return asked
    return min(MOST_WORKERS, usable_processors()) if num_images >= FEW_IMAGES else 0
