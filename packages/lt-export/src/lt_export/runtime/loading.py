"""From an exported file to a classifier."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lt_data import is_whole
from lt_export.errors import EdgeModelError
from lt_export.metadata import INPUT_NAME, OUTPUT_NAME, from_metadata
from lt_export.paths import as_path
from lt_export.runtime.classifier import EdgeClassifier
from lt_export.runtime.description import Description
from lt_export.runtime.engine_file import ENDINGS
from lt_export.runtime.engine_loading import load_engine
from lt_export.runtime.onnx_file import read_onnx
from lt_export.runtime.onnx_runner import Device, OnnxRunner, open_session

if TYPE_CHECKING:
    import onnxruntime


def load(path: str | os.PathLike[str], *, device: Device = "auto", num_threads: int | None = None) -> EdgeClassifier:
    """Load an exported model; classes and preprocessing come from the file alone.

    The file is checked before anything runs it: weights in other files, operators of somebody's own, shapes that do
    not fit their data, and models that lt-export did not write are refused; so is an engine that is not the one which
    `<path>.json` beside it describes.

    Args:
        path: An ONNX file that lightly-train exported, or a TensorRT engine (`.trt`, `.engine`, `.plan`).
        device: Where it runs. auto takes what there is, best first: cuda, tensorrt, coreml, openvino, cpu; a device
            that is named must be there. Engines take auto, cuda or tensorrt, which all mean the GPU.
        num_threads: Threads of one operator on the CPU; None takes one for each processor that this process may use.
            Engines take None alone.

    Raises:
        EdgeModelError: The file is missing or not a model that lt-export wrote, `device` is not there, or `num_threads`
            is below 1; or the engine cannot run here, because of TensorRT, its version, or the GPU.
        MissingPackageError: onnxruntime is not installed.
    """
    if num_threads is not None and (not is_whole(num_threads) or num_threads < 1):
        raise EdgeModelError(f"num_threads must be an integer of at least 1, or None, got {num_threads!r}")
    file = as_path(path, "path", EdgeModelError)
    if file.suffix.lower() in ENDINGS:
        return load_engine(file, device=device, num_threads=num_threads)
    found = read_onnx(file)
    description = from_metadata(found.metadata, str(file))
    try:
        session = open_session(found.content, device=device, num_threads=num_threads)
    except EdgeModelError as error:
        raise EdgeModelError(f"{file}: {error}") from error
    _check_signature(session, description, file)
    return EdgeClassifier(OnnxRunner(session), description)


def _check_signature(session: onnxruntime.InferenceSession, description: Description, file: Path) -> None:
    """Input and output must be those that the metadata describes."""
    inputs = {value.name: (value.type, value.shape) for value in session.get_inputs()}
    outputs = {value.name: (value.type, value.shape) for value in session.get_outputs()}
    spec, classes = description.task.preprocessing, len(description.task.classes)
    kind, shape = "tensor(float)", [None, spec.num_channels, *spec.image_size]
    if description.includes_preprocessing:
        kind, shape = "tensor(uint8)", [None, None, None, spec.num_channels]
    if list(inputs) != [INPUT_NAME] or not _fits(inputs[INPUT_NAME], kind, shape):
        raise EdgeModelError(f"{file}: expected one input `{INPUT_NAME}`, {kind} of {shape}, it has {inputs}")
    if list(outputs) != [OUTPUT_NAME] or not _fits(outputs[OUTPUT_NAME], "tensor(float)", [None, classes]):
        raise EdgeModelError(
            f"{file}: expected one output `{OUTPUT_NAME}`, tensor(float) of {[None, classes]}, it has {outputs}"
        )


def _fits(found: tuple[str, list[int | str | None]], kind: str, shape: Sequence[int | None]) -> bool:
    sizes = found[1]
    alike = all(wanted is None or size == wanted for size, wanted in zip(sizes, shape, strict=False))
    return found[0] == kind and len(sizes) == len(shape) and alike
