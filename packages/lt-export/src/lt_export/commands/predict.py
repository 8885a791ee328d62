"""`lt-export predict`: classify images, or a folder of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lt_data import user_path
from lt_export.commands.arguments import Commands, add_command, add_json, add_loading, add_selection, load, whole
from lt_export.commands.printing import print_json
from lt_export.terminal import one_line

if TYPE_CHECKING:
    from lt_data import FolderPrediction
    from lt_export.runtime.classifier import EdgeClassifier

EXIT_UNREADABLE = 2
"""An image could not be read, though the others were."""


def add_to(commands: Commands) -> None:
    """The command and its options."""
    parser = add_command(commands, "predict", run, "classify images, or all images below a folder")
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="paths or URLs of images, or one folder")
    add_selection(parser)
    add_loading(parser)
    add_json(parser)
    folder = parser.add_argument_group("for a folder")
    folder.add_argument("--out", type=Path, metavar="FILE", help="write a .csv or .jsonl file, nothing to the output")
    folder.add_argument("--resume", action="store_true", help="go on with the file that an interrupted call left")
    folder.add_argument("--batch-size", type=whole(1), metavar="N", help="images at once (default: 16)")


def run(arguments: argparse.Namespace) -> int:
    """One line an image; unreadable ones are named, and the others still classified."""
    if any(user_path(image).is_dir() for image in arguments.images):
        if len(arguments.images) > 1:
            arguments.parser.error("give one folder, or images")
        return _predict_folder(load(arguments), arguments)
    if arguments.out or arguments.resume or arguments.batch_size is not None:
        arguments.parser.error("--out, --resume and --batch-size are for a folder")
    return _predict_images(load(arguments), arguments)


def _predict_images(classifier: EdgeClassifier, arguments: argparse.Namespace) -> int:
    from lt_data import ImageDecodeError

    status = 0
    for image in arguments.images:
        try:
            found = classifier.predict(image, topk=arguments.topk, threshold=arguments.threshold)
        except ImageDecodeError as error:
            status = EXIT_UNREADABLE
            _print_unreadable(image, error.reason, as_json=arguments.json)
            continue
        labels = found["labels"].tolist()
        names = [classifier.classes[label] for label in labels]
        _print(image, labels, names, found["scores"].tolist(), as_json=arguments.json)
    return status


def _predict_folder(classifier: EdgeClassifier, arguments: argparse.Namespace) -> int:
    folder = Path(arguments.images[0])
    found = classifier.predict_folder(
        folder,
        arguments.out,
        topk=arguments.topk,
        threshold=arguments.threshold,
        batch_size=arguments.batch_size or 16,
        resume=arguments.resume,
        progress=_show_progress if sys.stderr.isatty() else lambda done, total: None,
    )
    for row in found.predictions:
        if row.error is None:
            _print(str(folder / row.path), row.labels, row.names, row.scores, as_json=arguments.json, frame=row.frame)
    for row in found.unreadable:
        _print_unreadable(str(folder / row.path), row.error or "", as_json=arguments.json and arguments.out is None)
    _print_summary(found)
    return EXIT_UNREADABLE if found.unreadable or found.problems else 0


def _print(
    image: str,
    labels: Sequence[int],
    names: Sequence[str],
    scores: Sequence[float],
    *,
    as_json: bool,
    frame: int | None = None,
) -> None:
    if as_json:
        values = {"path": image, "frame": frame, "labels": labels, "names": names, "scores": scores}
        print_json({key: value for key, value in values.items() if value is not None})
        return
    place = image if frame is None else f"{image} frame {frame}"
    cells = (f"{one_line(name)} {score:.4f}" for name, score in zip(names, scores, strict=True))
    print("\t".join([one_line(place), *(cells if labels else ["no class"])]), flush=True)


def _print_unreadable(image: str, reason: str, *, as_json: bool) -> None:
    print(f"error: {one_line(' '.join(f'{image}: {reason}'.split()))}", file=sys.stderr)
    if as_json:
        print_json({"path": image, "error": reason})


def _print_summary(found: FolderPrediction) -> None:
    for problem in found.problems:
        print(f"error: {one_line(f'{problem.where}: {problem.what}')}", file=sys.stderr)
    for note in found.notes:
        print(f"note: {one_line(note)}", file=sys.stderr)
    skipped = f", there already: {found.skipped}" if found.skipped else ""
    print(f"images classified: {found.count}, unreadable: {len(found.unreadable)}{skipped}", file=sys.stderr)


def _show_progress(done: int, total: int) -> None:
    print(f"\r{done}/{total}", end="" if done < total else "\n", file=sys.stderr, flush=True)
