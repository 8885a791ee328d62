"""From a folder of images to a table of predictions, for every runtime that can turn images into scores."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import attrs
import numpy as np
import numpy.typing as npt

from lt_data.ahead import results_in_order
from lt_data.errors import DatasetError, ImageDecodeError, PredictionArgumentError, Problem, listed
from lt_data.files import atomic_write, check_writable, user_path
from lt_data.images.decoding import Frame
from lt_data.index.folder import scan_images
from lt_data.index.samples import SampleIndex
from lt_data.prediction import check_selection, select_labels
from lt_data.processors import usable_processors
from lt_data.task import TaskSpec
from lt_data.threshold import Threshold
from lt_data.validators import is_whole

Prepare = Callable[["Path | Frame"], npt.NDArray[Any]]
Score = Callable[[Sequence[npt.NDArray[Any]]], npt.NDArray[np.float32]]
Progress = Callable[[int, int], None]
Key = tuple[str, "int | None"]

COLUMNS = ("path", "frame", "labels", "names", "scores", "error")
SUFFIXES = (".csv", ".jsonl")
AHEAD = 2
"""Batches that are decoded before they are needed."""

T = TypeVar("T")


@attrs.frozen
class ImagePrediction:
    """What a model says of one image of a folder.

    Attributes:
        path: The file, relative to the folder, with `/` between its parts.
        frame: Frame of a DICOM file whose frames are images of their own, else None.
        labels: Class IDs, by falling score.
        names: Their names.
        scores: Their probabilities, in [0, 1].
        error: Why the file could not be read, without its path; None if it could. Then there are no labels.
    """

    path: str
    frame: int | None
    labels: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    error: str | None = None


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
            is the table of another call, or its folder is missing or cannot be written to.
        OSError: Writing `out` fails later, as on a full disk.
    """
    check_selection(task, topk=topk, threshold=threshold)
    _check_counts(batch_size, num_workers)
    if resume and out is None:
        raise PredictionArgumentError("resume is for a file that an interrupted call left; name it as `out`")
    target = None if out is None else _checked_target(user_path(out), resume=resume)
    if not isinstance(folder, (str, os.PathLike)):
        kind = type(folder).__name__
        raise PredictionArgumentError(
            f"expected the path of a folder, got {kind}; predict_batch takes a list of images"
        )
    root = user_path(folder)
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
    done = _done(target, asked) if target is not None else {}
    keys = [_key(scan.samples, i) for i in range(len(scan.samples))]
    wanted = [i for i, key in enumerate(keys) if key not in done]
    skipped, finished = len(keys) - len(wanted), 0
    kept: list[ImagePrediction] = []
    unreadable = [ImagePrediction(*key, error=done[key]) for key in keys if done.get(key)]
    count = 0
    with ExitStack() as stack:
        stream = None if target is None else stack.enter_context(_appending(target))
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
                stream.write(_as_text(rows, target))
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


def _checked_target(out: Path, *, resume: bool) -> Path:
    if out.suffix.lower() not in SUFFIXES:
        raise PredictionArgumentError(f"{out}: the name must end in .csv or .jsonl")
    if out.exists() and not resume:
        raise PredictionArgumentError(f"{out}: is there already; remove it, or resume it")
    if not out.parent.is_dir():
        raise PredictionArgumentError(f"{out.parent}: there is no such folder")
    try:
        check_writable(out.parent)
    except OSError as error:
        raise PredictionArgumentError(f"{out.parent}: cannot be written to: {error.strerror}") from error
    return out


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


def _as_text(rows: Sequence[ImagePrediction], target: Path) -> bytes:
    text = io.StringIO()
    if target.suffix.lower() == ".jsonl":
        for row in rows:
            filled = {key: value for key, value in attrs.asdict(row).items() if value is not None}
            text.write(json.dumps(filled, ensure_ascii=False) + "\n")
    else:
        writer = csv.writer(text, lineterminator="\n")
        for row in rows:
            cells = [";".join(map(str, values)) for values in (row.labels, row.names, row.scores)]
            writer.writerow([row.path, "" if row.frame is None else row.frame, *cells, row.error or ""])
    # A file name that is no Unicode: JSON has an escape for it, CSV gets the bytes that the file system has.
    errors = "backslashreplace" if target.suffix.lower() == ".jsonl" else "surrogateescape"
    return text.getvalue().encode("utf-8", errors=errors)


def _appending(target: Path) -> BinaryIO:
    stream = open(target, "ab")  # noqa: SIM115  # the caller closes it
    if target.suffix.lower() == ".csv" and not stream.tell():
        stream.write((",".join(COLUMNS) + "\n").encode())
    return stream


def _done(target: Path, asked: Mapping[str, Any]) -> dict[Key, str]:
    """Images that the file has, with why they could not be read, empty for those that could.

    A last line that an interruption left unfinished is cut off.
    """
    record = target.with_name(f"{target.name}.json")
    if not target.exists():
        with atomic_write(record) as stream:
            stream.write(json.dumps(asked, indent=1).encode())
        return {}
    _check_same_call(record, target, asked)
    content = target.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        with open(target, "r+b") as stream:
            stream.truncate(len(whole))
    try:
        if target.suffix.lower() == ".jsonl":
            rows = map(json.loads, whole.splitlines())
            return {(row["path"], row.get("frame")): row.get("error") or "" for row in rows}
        text = whole.decode("utf-8", errors="surrogateescape")
        table = csv.DictReader(io.StringIO(text, newline=""))
        return {(row["path"], int(row["frame"]) if row["frame"] else None): row["error"] for row in table}
    except (ValueError, KeyError, TypeError) as error:
        raise PredictionArgumentError(
            f"{target}: is not a table that an interrupted call left: {type(error).__name__}: {error}"
        ) from error


def _check_same_call(record: Path, target: Path, asked: Mapping[str, Any]) -> None:
    try:
        before = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PredictionArgumentError(
            f"{target}: cannot be resumed without {record.name}, which says how it was made: {error}"
        ) from error
    differ = [name for name, value in asked.items() if not isinstance(before, dict) or before.get(name) != value]
    if differ:
        raise PredictionArgumentError(
            f"{target}: was made with another {listed(differ)}, by {record.name}; resume it with the same, or take "
            "another file"
        )
