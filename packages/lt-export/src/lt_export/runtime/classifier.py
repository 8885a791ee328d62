"""Classification without PyTorch."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lt_data import (
    MAX_PIXELS,
    ImageLike,
    Prediction,
    TaskSpec,
    Threshold,
    check_selection,
    check_several,
    listed,
    load_image,
    preprocess,
    select_labels,
)
from lt_export.runtime.checks import Benchmark, SelfTest, benchmark, selftest
from lt_export.runtime.description import Description
from lt_export.runtime.runner import BatchLimits, Runner

if TYPE_CHECKING:
    from lt_data import FolderPrediction


class EdgeClassifier:
    """An exported model, ready to classify; same arguments and results as the PyTorch model, as NumPy arrays.

    May be used from several threads at once.

    Attributes:
        description: What the file says about itself.
    """

    def __init__(self, runner: Runner, description: Description) -> None:
        self._runner = runner
        self.description = description

    def __repr__(self) -> str:
        height, width = self.task.preprocessing.image_size
        return f"EdgeClassifier({height} x {width}, {self.task.task}: {listed(self.task.classes.names)})"

    @property
    def task(self) -> TaskSpec:
        """Task, classes and preprocessing, as stored in the file."""
        return self.description.task

    @property
    def classes(self) -> dict[int, str]:
        """Class name by class ID, in output order."""
        return self.task.classes.as_dict()

    @property
    def device(self) -> str:
        """What the model runs on, such as `"cpu (ONNX Runtime 1.31.1)"`."""
        return self._runner.device

    @property
    def batch_limits(self) -> BatchLimits:
        """Numbers of images that the model takes at once; fewer are filled up, and more are split."""
        return self._runner.batch_limits

    def predict(self, image: ImageLike, *, topk: int = 1, threshold: Threshold = 0.5) -> Prediction:
        """Classify one image with exactly the preprocessing that validation used.

        Args:
            image: Path, URL, content of a file as bytes, file opened in binary mode, Pillow image, or uint8 array of
                shape (H, W, C).
            topk: Number of classes to return for multiclass models, 1 ≤ topk ≤ classes. Changes nothing for multilabel.
            threshold: Multilabel models return every class whose score is greater, in (0, 1); `"auto"` takes the
                thresholds that were fitted for each class before the export.

        Returns:
            `labels`, int64 class IDs of shape (k,), and `scores`, float32 probabilities of shape (k,), falling.

        Raises:
            ImageDecodeError: The file is not an image that lt-data reads; names the file and the reason.
            PredictionArgumentError: `topk` or `threshold` is out of range.
        """
        return self.predict_batch([image], topk=topk, threshold=threshold)[0]

    def predict_batch(
        self, images: Sequence[ImageLike], *, topk: int = 1, threshold: Threshold = 0.5
    ) -> list[Prediction]:
        """Classify several images at once; arguments and errors as for `predict`."""
        check_selection(self.task, topk=topk, threshold=threshold)
        scores = self.scores(images)
        return [select_labels(row, self.task, topk=topk, threshold=threshold) for row in scores]

    def predict_folder(
        self,
        folder: str | os.PathLike[str],
        out: str | os.PathLike[str] | None = None,
        *,
        topk: int = 1,
        threshold: Threshold = 0.5,
        batch_size: int = 16,
        num_workers: int | None = None,
        resume: bool = False,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> FolderPrediction:
        """Classify all images at any depth below a folder; files that cannot be read are reported, never left out.

        Args:
            folder: Where the images are; hidden files and folders are passed over, and noted.
            out: A `.csv` or `.jsonl` file for the predictions; None returns them.
            topk: As for `predict`.
            threshold: As for `predict`.
            batch_size: Images at once.
            num_workers: Threads that read images; None takes one for each usable processor.
            resume: Whether to go on with an `out` that an interrupted call left.
            progress: Called with the images done and in all.

        Raises:
            DatasetError: `folder` is not a folder or has no image.
            PredictionArgumentError: An argument is out of range, or `out` exists and `resume` is not set.
        """
        # Brings the scanning of folders, for which those who classify single images need not wait.
        from lt_data import predict_folder

        return predict_folder(
            folder,
            out,
            self.task,
            prepare=self.prepare,
            score=self.run,
            topk=topk,
            threshold=threshold,
            batch_size=batch_size,
            num_workers=num_workers,
            resume=resume,
            progress=progress,
            model=self.description.fingerprint,
        )

    def scores(self, images: Sequence[ImageLike]) -> npt.NDArray[np.float32]:
        """Probabilities of all classes, float32 of shape (len(images), classes), in output order."""
        check_several(images)
        return self.run([self.prepare(image) for image in images])

    def prepare(self, image: ImageLike, *, max_pixels: int = MAX_PIXELS) -> npt.NDArray[Any]:
        """The first half of `scores`: read and preprocess one image.

        Args:
            image: As for `predict`.
            max_pixels: Images with more are refused, as by `lt_data.load_image`.

        Returns:
            What `run` takes: float32 of shape (C, height, width); or, where the model preprocesses by itself, uint8 of
            shape (H, W, C).

        Raises:
            ImageDecodeError: As for `predict`.
        """
        spec = self.task.preprocessing
        pixels = load_image(image, spec.num_channels, spec.decoding, max_pixels=max_pixels)
        return pixels if self.description.includes_preprocessing else preprocess(pixels, spec)

    def run(self, prepared: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        """The second half of `scores`: the model alone, on what `prepare` gave for each image."""
        if not prepared:
            return np.empty((0, len(self.task.classes)), dtype=np.float32)
        parts = [self._run_alike(batch) for batch in _alike(prepared)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def benchmark(self, *, batch_size: int | None = None, runs: int = 100, warmup: int = 10) -> Benchmark:
        """Measure preprocessing and model on images in memory of 480 x 640 pixels; decoding files is not in it.

        Args:
            batch_size: Images at once, as many as the model takes; None takes the fewest, which is 1 unless the batch
                is fixed.
            runs: Batches that count.
            warmup: Batches before them that do not.

        Raises:
            PredictionArgumentError: An argument is out of range.
        """
        spec, limits = self.task.preprocessing, self.batch_limits
        return benchmark(self.scores, spec, limits, batch_size=batch_size, runs=runs, warmup=warmup)

    def selftest(self) -> SelfTest:
        """Whether this machine gives the scores that the exporting one noted in the file.

        Raises:
            SelfTestError: A score differs by more than the limit for the model's precision.
            EdgeModelError: The file has no such scores.
        """
        return selftest(self.scores, self.description)

    def _run_alike(self, batch: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        limits, count = self.batch_limits, len(batch)
        step = limits.largest or max(count, limits.smallest)
        parts = []
        for start in range(0, count, step):
            part = batch[start : start + step]
            missing = max(0, limits.smallest - len(part))
            if missing:
                part = np.concatenate([part, np.zeros((missing, *part.shape[1:]), dtype=part.dtype)])
            parts.append(self._runner.run(part))
        return (parts[0] if len(parts) == 1 else np.concatenate(parts))[:count]


def _alike(images: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
    """Batches of neighbours that have one shape: all of them, unless the model itself preprocesses."""
    batches: list[list[npt.NDArray[Any]]] = []
    for image in images:
        if batches and batches[-1][0].shape == image.shape:
            batches[-1].append(image)
        else:
            batches.append([image])
    return [np.stack(batch) for batch in batches]
