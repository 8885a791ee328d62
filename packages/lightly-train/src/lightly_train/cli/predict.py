"""`lightly-train predict`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lightly_train.cli.printing import print_error, print_json, print_note, show_progress
from lightly_train.cli.unreadable import EXIT_UNREADABLE
from lightly_train.loading import load_any
from lt_data import ImageDecodeError, PredictionArgumentError, Threshold, listed, user_path
from lt_export import one_line

if TYPE_CHECKING:
    from lightly_train.model import ImageClassification
    from lt_data import FolderPrediction
    from lt_export import EdgeClassifier


def predict(
    model: Path,
    images: list[str],
    *,
    topk: int = 1,
    threshold: Threshold = 0.5,
    device: str = "auto",
    out: Path | None = None,
    resume: bool = False,
    batch_size: int | None = None,
    num_workers: int | None = None,
) -> int:
    """Classify images, or all images below a folder, and print one JSON object a line.

    Images that cannot be read are named, and the others still classified.

    Args:
        model: Exported model (.pt), ONNX file (.onnx), or TensorRT engine (.trt, .engine, .plan).
        images: Paths or URLs of images; or one folder.
        topk: Number of classes of a multiclass model to give; changes nothing for a multilabel one.
        threshold: A multilabel model gives every class whose score is greater; auto takes the thresholds that
            calibrate fitted for each class.
        device: Where the model runs, such as cpu or cuda; auto takes the best that is there.
        out: Of a folder, write a .csv or .jsonl file and print nothing.
        resume: Of a folder, go on with the file that an interrupted call left.
        batch_size: Of a folder, images at once; 16 if not given.
        num_workers: Of a folder, threads that read images; one for each processor if not given.
    """
    images = [str(user_path(image)) if image.startswith("~") else image for image in images]
    if not all(images):
        raise PredictionArgumentError("one of the images is an empty text; give paths or URLs")
    folders = [image for image in images if Path(image).is_dir()]
    if folders and len(images) > 1:
        raise PredictionArgumentError(f"{folders[0]} is a folder; give one folder and nothing else, or images")
    of_folders = {"--out": out, "--resume": resume or None, "--batch-size": batch_size, "--num-workers": num_workers}
    given = [name for name, value in of_folders.items() if value is not None]
    if given and not folders:
        raise PredictionArgumentError(f"{listed(given)}: for a folder, and none of the images is one")
    classifier = load_any(model, device=device)
    if not folders:
        return _predict_images(classifier, images, topk=topk, threshold=threshold)
    found = classifier.predict_folder(
        Path(images[0]),
        out,
        topk=topk,
        threshold=threshold,
        batch_size=16 if batch_size is None else batch_size,
        num_workers=num_workers,
        resume=resume,
        progress=show_progress,
    )
    return _print_folder(Path(images[0]), found, as_json=out is None)


def _predict_images(
    classifier: ImageClassification | EdgeClassifier, images: Sequence[str], *, topk: int, threshold: Threshold
) -> int:
    status = 0
    for image in images:
        try:
            found = classifier.predict(image, topk=topk, threshold=threshold)
        except ImageDecodeError as error:
            _print_unreadable(image, error.reason, as_json=True)
            status = EXIT_UNREADABLE
            continue
        labels = [int(label) for label in found["labels"]]
        names = [classifier.classes[label] for label in labels]
        scores = [float(score) for score in found["scores"]]
        print_json({"path": image, "labels": labels, "names": names, "scores": scores})
    return status


def _print_folder(folder: Path, found: FolderPrediction, *, as_json: bool) -> int:
    for row in found.predictions:
        if row.error is None:
            frame = {} if row.frame is None else {"frame": row.frame}
            values = {"labels": row.labels, "names": row.names, "scores": row.scores}
            print_json({"path": str(folder / row.path), **frame, **values})
    for row in found.unreadable:
        _print_unreadable(str(folder / row.path), row.error or "", as_json=as_json)
    for problem in found.problems:
        print_error(one_line(f"{problem.where}: {problem.what}"))
    for note in found.notes:
        print_note(one_line(f"note: {note}"))
    skipped = f", there already: {found.skipped}" if found.skipped else ""
    print_note(f"images classified: {found.count}, unreadable: {len(found.unreadable)}{skipped}")
    return EXIT_UNREADABLE if found.unreadable or found.problems else 0


def _print_unreadable(image: str, reason: str, *, as_json: bool) -> None:
    print_error(one_line(" ".join(f"{image}: {reason}".split())))
    if as_json:
        print_json({"path": image, "error": reason})
