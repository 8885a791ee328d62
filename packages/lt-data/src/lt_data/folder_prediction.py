"""From a folder of images to a table of predictions, for every runtime that can turn images into scores."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import attrs
import numpy as np
import numpy.typing as npt

from lt_data.ahead import results_in_order
from lt_data.errors import DatasetError, ImageDecodeError, PredictionArgumentError, Problem
from lt_data.files import user_path
from lt_data.images.decoding import Frame
from lt_data.index.folder import scan_images
from lt_data.index.samples import SampleIndex
from lt_data.prediction import check_selection, select_labels
from lt_data.prediction_table import (
    ImagePrediction,
    Key,
    checked_table,
    open_table_to_append,
    rows_as_text,
    rows_done,
)
from lt_data.processors import usable_processors
from lt_data.task import TaskSpec
from lt_data.threshold import Threshold
from lt_data.validators import is_whole

Prepare = Callable[["Path | Frame"], npt.NDArray[Any]]
Score = Callable[[Sequence[npt.NDArray[Any]]], npt.NDArray[np.float32]]
Progress = Callable[[int, int], None]

AHEAD = 2
"""Batches that are decoded before they are needed."""

T = TypeVar("T")


@attrs.frozen
class FolderPrediction:
    """What came of a folder.

    Attributes:
        predictions: One for each image, in the order of their paths; empty where they went into a file.
        count: Images classified in this call.
        skipped: Images that the file had already, unreadable ones among them.
        unreadable: Those that could not be read, in this call or, by the file, before, with the reason as `error`.
        problems: Folders that could not be read, and links that lead nowhere.
        notes: What was passed over, as lines for a log.
    """

    predictions: tuple[ImagePrediction, ...]
    count: int
    skipped: int
    unreadable: tuple[ImagePrediction, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]


def predict_folder(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str] | None,
    task: TaskSpec,
    *,
    prepare: Prepare,
    score: Score,
    topk: int = 1,
    threshold: Threshold = 0.5,
    batch_size: int = 16,
    num_workers: int | None = None,
    resume: bool = False,
    progress: Progress = lambda done, total: None,
    model: str = "",
) -> FolderPrediction:
    """Classify all images at any depth below a folder; files that cannot be read are reported, never left out.

    Args:
        folder: Where the images are. Files and folders whose names begin with a dot are passed over, and counted in
            `notes`.
        out: A `.csv` or `.jsonl` file, written batch by batch; None keeps the predictions in memory. In CSV, several
            labels of an image are separated by `;`.
        task: Classes, and how labels are picked.
        prepare: Reads one image, in a thread; raises ImageDecodeError.
        score: Scores of a batch of what `prepare` gave, float32 of shape (N, classes).
        topk: As for a single image.
        threshold: As for a single image.
        batch_size: Images at once.
        num_workers: Threads that read images; None takes one for each usable processor.
        resume: Whether to go on with an `out` that an interrupted call left. Folder, model, task, `topk` and
            `threshold` must be those that `<out>.json` beside it says. Images that could not be read are not tried
            again; they are in `unreadable` again.
        progress: Called with the images done and in all.
        model: Tells models apart, such as a digest; for `resume`.

    Raises:
        DatasetError: `folder` is not a folder or has no image.
        PredictionArgumentError: An argument is out of range, or `out` exists and `resume` is not set, or it
            is the table of another call, or its folder is missing or cannot be written to; or `folder` is a file.
        OSError: Writing `out` fails later, as on a full disk.
    """
    check_selection(task, topk=topk, threshold=threshold)
    _check_counts(batch_size, num_workers)
    if resume and out is None:
        raise PredictionArgumentError("resume is for a file that an interrupted call left; name it as `out`")
    target = None if out is None else checked_table(user_path(out), resume=resume)
    if not isinstance(folder, (str, os.PathLike)):
        kind = type(folder).__name__
        raise PredictionArgumentError(
            f"expected the path of a folder, got {kind}; predict_batch takes a list of images"
        )
    root = user_path(folder)
    if root.is_file():
        raise PredictionArgumentError(f"{root}: is a file, not a folder; files go to predict")
    scan = scan_images(root, dicom_frame=task.preprocessing.decoding.dicom_frame)
    if not len(scan.samples):
        raise DatasetError(scan.problems or [Problem(str(root), "there is no image below this folder")])
    asked = {
        "folder": str(root.resolve()),
        "topk": int(topk),
        "threshold": threshold if threshold == "auto" else float(threshold),
        "model": model,
        "task": hashlib.sha256(task.to_json().encode()).hexdigest(),
    }
    done = rows_done(target, asked) if target is not None else {}
    keys = [_key(scan.samples, i) for i in range(len(scan.samples))]
    wanted = [i for i, key in enumerate(keys) if key not in done]
    skipped, finished = len(keys) - len(wanted), 0
    kept: list[ImagePrediction] = []
    unreadable = [ImagePrediction(*key, error=done[key]) for key in keys if done.get(key)]
    count = 0
    with ExitStack() as stack:
        stream = None if target is None else stack.enter_context(open_table_to_append(target))
        pool = stack.enter_context(ThreadPoolExecutor(num_workers or usable_processors()))
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
        reading = results_in_order(pool, lambda i: _read(prepare, scan.samples.image(i)), wanted, AHEAD * batch_size)
        for batch in _batches(reading, batch_size):
            rows = _rows(batch, keys, task, score, topk=topk, threshold=threshold)
            unreadable += [row for row in rows if row.error is not None]
            count += sum(row.error is None for row in rows)
            if stream is None or target is None:
                kept += rows
            else:
                stream.write(rows_as_text(rows, target))
                stream.flush()
            finished += len(rows)
            progress(skipped + finished, len(keys))
    return FolderPrediction(
        predictions=tuple(kept),
        count=count,
        skipped=skipped,
        unreadable=tuple(unreadable),
        problems=scan.problems,
        notes=scan.notes,
    )


def _check_counts(batch_size: int, num_workers: int | None) -> None:
    for name, value in (("batch_size", batch_size), ("num_workers", num_workers)):
        if value is not None and (not is_whole(value) or value < 1):
            raise PredictionArgumentError(f"{name} must be an integer of at least 1, got {value!r}")


def _key(samples: SampleIndex, index: int) -> Key:
    path = samples.path(index).relative_to(samples.root).as_posix()
    frame = -1 if samples.frames is None else int(samples.frames[index])
    return path, frame if frame >= 0 else None


def _read(prepare: Prepare, image: Path | Frame) -> npt.NDArray[Any] | ImageDecodeError:
    try:
        return prepare(image)
    except ImageDecodeError as error:
        return error


def _batches(items: Iterator[T], size: int) -> Iterator[list[T]]:
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _rows(
    batch: Sequence[tuple[int, npt.NDArray[Any] | ImageDecodeError]],
    keys: Sequence[Key],
    task: TaskSpec,
    score: Score,
    *,
    topk: int,
    threshold: Threshold,
) -> list[ImagePrediction]:
    images = [image for _, image in batch if not isinstance(image, ImageDecodeError)]
    scores = iter(score(images)) if images else iter(())
    names = task.classes.as_dict()
    rows = []
    for index, image in batch:
        if isinstance(image, ImageDecodeError):
            rows.append(ImagePrediction(*keys[index], error=" ".join(image.reason.split())))
            continue
        chosen = select_labels(next(scores), task, topk=topk, threshold=threshold)
        labels = tuple(chosen["labels"].tolist())
        rows.append(
            ImagePrediction(
                *keys[index],
                labels=labels,
                names=tuple(names[label] for label in labels),
                # Seven digits tell all float32 values in [0, 1] apart that a reader would.
                scores=tuple(round(float(one), 7) for one in chosen["scores"]),
            )
        )
    return rows
