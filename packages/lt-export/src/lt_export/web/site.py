"""From an exported model to a folder that any web server can serve."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from lt_data import TaskSpec, atomic_write, check_writable
from lt_export.agreement import LIMITS
from lt_export.errors import EdgeModelError, ExportError
from lt_export.metadata import DIGITS, INPUT_NAME, OUTPUT_NAME, from_metadata
from lt_export.paths import as_path
from lt_export.runtime.description import Description
from lt_export.runtime.onnx_file import read_onnx
from lt_export.web.runtime_files import PACKAGE, VERSION, runtime_files

FORMAT = "lightly-train/web"
PAGE = Path(__file__).parent / "page"
INDEX = "index.html"
DESCRIPTION = "model.json"
MODEL = "model.onnx"
RUNTIME = "onnxruntime-web"
"""Folder of the runtime inside of the page's."""
TITLE = "{{title}}"
"""What stands for the title in index.html."""

DEFAULT_TITLE = "Image classification"
CHANNELS = (1, 3, 4)
"""What a browser's decoders can give: grey, RGB, RGBA."""


@attrs.frozen
class WebSite:
    """What was written.

    Attributes:
        folder: Where.
        files: Names relative to it, with `/`.
        bytes: Size of all of them together.
        replaced: Whether there was an earlier page, whose files these replaced.
    """

    folder: Path
    files: tuple[str, ...]
    bytes: int
    replaced: bool


def write_site(
    model: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    title: str | None = None,
    onnxruntime_web: str | os.PathLike[str] | None = None,
) -> WebSite:
    """Write a static page that classifies images, dropped or from the camera, in the browser of who opens it.

    The page runs the model with onnxruntime-web and preprocesses like `lt_data.preprocess`, to the bit. It asks no
    other server for anything, and images do not leave the browser.

    Args:
        model: An ONNX file that lightly-train exported.
        out: The folder to write: a new one, an empty one, or one that this function wrote before, whose files are
            replaced.
        title: Heading of the page; None takes "Image classification".
        onnxruntime_web: The .tgz or the unpacked folder of the npm package onnxruntime-web in the version that this
            module pins; None runs `npm pack`, which downloads it from the registry that npm is set up for.

    Raises:
        EdgeModelError: `model` is missing, not a model that lt-export wrote, or takes other images than grey, RGB or
            RGBA.
        ExportError: `out` holds something else or cannot be written to, `title` is no text, npm is missing or fails, or
            `onnxruntime_web` is another version.
    """
    model, out = as_path(model, "model", EdgeModelError), as_path(out, "out", ExportError)
    source = None if onnxruntime_web is None else as_path(onnxruntime_web, "onnxruntime_web", ExportError)
    heading = DEFAULT_TITLE if title is None else title
    if not isinstance(heading, str) or not heading.strip():
        raise ExportError(f"title must be text, or None for {DEFAULT_TITLE!r}, got {title!r}")
    found = read_onnx(model)
    description = from_metadata(found.metadata, str(model))
    channels = description.task.preprocessing.num_channels
    if channels not in CHANNELS:
        raise EdgeModelError(f"{model}: takes images of {channels} channels; a browser gives 1 (grey), 3 or 4 (RGBA)")
    _check_place(out)
    replaced = _is_ours(out)
    runtime = runtime_files(source)
    files = {
        MODEL: found.content,
        DESCRIPTION: json.dumps(_document(description), ensure_ascii=False).encode(),
        **{f"{RUNTIME}/{name}": content for name, content in runtime.items()},
        **_page(heading),
    }
    try:
        _write(files, out)
    except OSError as error:
        raise ExportError(f"{out}: {error.strerror}") from error
    return WebSite(out, tuple(files), sum(map(len, files.values())), replaced)


def _document(description: Description) -> dict[str, Any]:
    """What the page reads: the file's own description, in one JSON object."""
    limits = LIMITS[description.precision]
    return {
        "format": FORMAT,
        "version": 1,
        "task": description.task.task,
        "classes": _classes(description.task),
        "preprocessing": attrs.asdict(description.task.preprocessing),
        "thresholds": description.task.calibration.thresholds,
        "includes_preprocessing": description.includes_preprocessing,
        "precision": description.precision,
        "producer": f"lt-export {description.version}",
        "reference_scores": [[round(float(score), DIGITS) for score in row] for row in description.reference_scores],
        "limits": {"difference": limits.difference, "agreement": limits.agreement},
        "input": INPUT_NAME,
        "output": OUTPUT_NAME,
        "runtime": f"{PACKAGE} {VERSION}",
    }


def _classes(task: TaskSpec) -> list[dict[str, str]]:
    # IDs as text: JavaScript's numbers do not hold all 64-bit integers.
    return [{"id": str(i), "name": name} for i, name in task.classes.as_dict().items()]


def _page(title: str) -> Mapping[str, bytes]:
    """The page's own files; index.html last, so that a page appears once the rest is there."""
    names = sorted(path.relative_to(PAGE).as_posix() for path in PAGE.rglob("*") if path.is_file())
    files = {name: (PAGE / name).read_bytes() for name in names if name != INDEX}
    index = (PAGE / INDEX).read_text(encoding="utf-8").replace(TITLE, html.escape(title))
    return {**files, INDEX: index.encode()}


def _check_place(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise ExportError(f"{out}: is a file; name a folder")
    if not out.absolute().parent.is_dir():
        raise ExportError(f"{out.absolute().parent}: there is no such folder")
    if out.is_dir() and any(out.iterdir()) and not _is_ours(out):
        raise ExportError(f"{out}: holds files that are no page of lt-export; choose a new folder, or empty this one")
    place = out if out.is_dir() else out.absolute().parent
    try:
        check_writable(place)
    except OSError as error:
        raise ExportError(f"{place}: cannot be written to: {error.strerror}") from error


def _is_ours(out: Path) -> bool:
    try:
        document = json.loads((out / DESCRIPTION).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(document, dict) and document.get("format") == FORMAT


def _write(files: Mapping[str, bytes], out: Path) -> None:
    for name, content in files.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as stream:
            stream.write(content)
