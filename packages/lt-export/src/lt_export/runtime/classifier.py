"""Classification without PyTorch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lt_data import (
    ImageLike,
    Prediction,
    TaskSpec,
    check_selection,
    listed,
    load_inputs,
    select_labels,
)
from lt_export.errors import EdgeModelError
from lt_export.metadata import INPUT_NAME, OUTPUT_NAME, from_metadata
from lt_export.runtime.onnx_session import open_session

if TYPE_CHECKING:
    import onnxruntime


class EdgeClassifier:
    """An exported model, ready to classify; same arguments and results as the PyTorch model, as NumPy arrays.

    Attributes:
        task: Task, classes and preprocessing, as stored in the file.
    """

    def __init__(self, session: onnxruntime.InferenceSession, task: TaskSpec) -> None:
        self._session = session
        self._fixed_batch = _fixed_batch(session)
        self.task = task

    def __repr__(self) -> str:
        height, width = self.task.preprocessing.image_size
        return f"EdgeClassifier({height} x {width}, {self.task.task}: {listed(self.task.classes.names)})"

    @property
    def classes(self) -> dict[int, str]:
        """Class name by class ID, in output order."""
        return self.task.classes.as_dict()

    def predict(self, image: ImageLike, *, topk: int = 1, threshold: float = 0.5) -> Prediction:
        """Classify one image with exactly the preprocessing that validation used.

        Args:
            image: Path, URL, Pillow image, or uint8 array of shape (H, W, C).
            topk: Number of classes to return for multiclass models, 1 ≤ topk ≤ classes.
            threshold: Multilabel models return every class whose score is greater, in (0, 1).

        Returns:
            `labels`, int64 class IDs of shape (k,), and `scores`, float32 probabilities of shape (k,), falling.

        Raises:
            ImageDecodeError: The file is not an image that lt-data reads; names the file and the reason.
            PredictionArgumentError: `topk` or `threshold` is out of range.
        """
        return self.predict_batch([image], topk=topk, threshold=threshold)[0]

    def predict_batch(self, images: Sequence[ImageLike], *, topk: int = 1, threshold: float = 0.5) -> list[Prediction]:
        """Classify several images at once; arguments and errors as for `predict`."""
        check_selection(self.task, topk=topk, threshold=threshold)
        scores = self.scores(images)
        return [select_labels(row, self.task, topk=topk, threshold=threshold) for row in scores]

    def scores(self, images: Sequence[ImageLike]) -> npt.NDArray[np.float32]:
        """Probabilities of all classes, float32 of shape (len(images), classes), in output order."""
        inputs = load_inputs(images, self.task.preprocessing)
        if not len(inputs):
            return np.empty((0, len(self.task.classes)), dtype=np.float32)
        if self._fixed_batch is None:
            return self._run(inputs)
        missing = -len(inputs) % self._fixed_batch
        padded = np.concatenate([inputs, np.zeros((missing, *inputs.shape[1:]), dtype=np.float32)])
        parts = [self._run(part) for part in np.split(padded, len(padded) // self._fixed_batch)]
        return np.concatenate(parts)[: len(inputs)]

    def _run(self, batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        scores: npt.NDArray[np.float32] = self._session.run([OUTPUT_NAME], {INPUT_NAME: batch})[0]
        return scores


def load(path: str | os.PathLike[str], *, num_threads: int | None = None) -> EdgeClassifier:
    """Load an exported model; classes and preprocessing come from the file alone.

    Args:
        path: An ONNX file that lightly-train exported.
        num_threads: Threads of one operator; None takes one for each core.

    Raises:
        EdgeModelError: The file is missing, no ONNX model, or has no TaskSpec; or `num_threads` is below 1.
        MissingPackageError: onnxruntime is not installed.
    """
    if num_threads is not None and (not isinstance(num_threads, int) or num_threads < 1):
        raise EdgeModelError(f"num_threads must be an integer of at least 1, or None, got {num_threads!r}")
    file = Path(path)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise EdgeModelError(f"{file}: {error.strerror}") from error
    try:
        session = open_session(content, num_threads=num_threads)
    except EdgeModelError as error:
        raise EdgeModelError(f"{file}: {error}") from error
    task = from_metadata(session.get_modelmeta().custom_metadata_map, str(file))
    _check_signature(session, task, file)
    return EdgeClassifier(session, task)


def _check_signature(session: onnxruntime.InferenceSession, task: TaskSpec, file: Path) -> None:
    """Input and output must be those that the TaskSpec describes."""
    inputs = {value.name: value.shape for value in session.get_inputs()}
    outputs = {value.name: value.shape for value in session.get_outputs()}
    spec = task.preprocessing
    wanted = [spec.num_channels, *spec.image_size]
    if list(inputs) != [INPUT_NAME] or inputs[INPUT_NAME][1:] != wanted:
        raise EdgeModelError(f"{file}: expected one input `{INPUT_NAME}` of shape (N, {wanted}), it has {inputs}")
    if list(outputs) != [OUTPUT_NAME] or outputs[OUTPUT_NAME][1:] != [len(task.classes)]:
        raise EdgeModelError(
            f"{file}: expected one output `{OUTPUT_NAME}` of shape (N, {len(task.classes)}), it has {outputs}"
        )


def _fixed_batch(session: onnxruntime.InferenceSession) -> int | None:
    size = session.get_inputs()[0].shape[0]
    return size if isinstance(size, int) else None
