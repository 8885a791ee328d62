"""A trained model in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import attrs
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from lightly_train.model_file import save_model
from lightly_train.progress import ProgressArg, shown_progress
from lightly_train.scores import depends_on_temperature, probabilities
from lightly_train.source_file import SourceFile
from lightly_train.summary import as_html, as_text, summary_rows
from lightly_train.tensor_images import without_tensors
from lt_data import (
    ImageLike,
    PredictionArgumentError,
    TaskSpec,
    Threshold,
    check_selection,
    is_whole,
    listed,
    load_inputs,
    select_labels,
    user_path,
)
from lt_models import Classifier

if TYPE_CHECKING:
    from lightly_train.calibration import CalibrationResult
    from lightly_train.evaluation import Evaluation
    from lt_data import FolderPrediction
    from lt_export import OnnxExport, TensorRTExport


class Prediction(TypedDict):
    """Labels and scores of one image.

    Attributes:
        labels: Class IDs, int64 tensor of shape (k,).
        scores: Their probabilities, float32 tensor of shape (k,), in [0, 1], falling.
    """

    labels: torch.Tensor
    scores: torch.Tensor


class ImageClassification(nn.Module):
    """An image classifier with its classes and preprocessing.

    Attributes:
        classifier: Normalised images to logits.
        task: Task, classes and preprocessing.
        metrics: Values of its validation in training by logged name, empty if they are not known.
        step: Optimiser steps it was trained for, None if that is not known.
    """

    def __init__(
        self,
        classifier: Classifier,
        task: TaskSpec,
        source: SourceFile | None = None,
        *,
        metrics: Mapping[str, float] | None = None,
        step: int | None = None,
    ) -> None:
        super().__init__()
        self.classifier = classifier
        self.task = task
        self.metrics, self.step = dict(metrics or {}), step
        self._source = source
        self.eval()

    def __repr__(self) -> str:
        height, width = self.task.preprocessing.image_size
        names = listed(self.task.classes.names)
        return f"ImageClassification({self.classifier.spec.model}, {height} x {width}, {self.task.task}: {names})"

    def _repr_html_(self) -> str:
        return as_html("ImageClassification", self._summary())

    def summary(self) -> str:
        """What this model is, line by line: backbone, parameters, classes, input, and metrics of its training."""
        return as_text("ImageClassification", self._summary())

    def _summary(self) -> list[tuple[str, str]]:
        return summary_rows(self.classifier, self.task, step=self.step, metrics=self.metrics)

    @property
    def classes(self) -> dict[int, str]:
        """Class name by class ID, in output order."""
        return self.task.classes.as_dict()

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in output order."""
        return self.task.classes.names

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return next(self.classifier.parameters()).device

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits, float of shape (N, classes), of preprocessed images, float32 of shape (N, C, H, W).

        `probabilities` makes scores of them.
        """
        logits: torch.Tensor = self.classifier(images)
        return logits

    def predict(self, image: ImageLike | torch.Tensor, *, topk: int = 1, threshold: Threshold = 0.5) -> Prediction:
        """Classify one image with exactly the preprocessing that validation used.

        Args:
            image: Path, URL, content of a file as bytes, file opened in binary mode, Pillow image, uint8 array of shape
                (H, W, C), or tensor of shape (C, H, W), uint8 or float in [0, 1].
            topk: Number of classes to return for multiclass models, 1 ≤ topk ≤ classes. Changes nothing for multilabel.
            threshold: Multilabel models return every class whose score is greater, in (0, 1); `"auto"` takes the
                thresholds that `calibrate` fitted for each class.

        Returns:
            `labels`, int64 class IDs of shape (k,), and `scores`, float32 probabilities of shape (k,), falling.

        Raises:
            ImageDecodeError: The file is not an image that lt-data reads; names the file and the reason.
            PredictionArgumentError: `topk` or `threshold` is out of range; says how many classes there are. Or `image`
                is a list.
        """
        return self.predict_batch([image], topk=topk, threshold=threshold)[0]

    def predict_batch(
        self, images: Sequence[ImageLike | torch.Tensor], *, topk: int = 1, threshold: Threshold = 0.5
    ) -> list[Prediction]:
        """Classify several images in one forward pass; arguments and errors as for `predict`."""
        check_selection(self.task, topk=topk, threshold=threshold)
        selected = [select_labels(row, self.task, topk=topk, threshold=threshold) for row in self.scores(images)]
        return [
            {"labels": torch.from_numpy(one["labels"]), "scores": torch.from_numpy(one["scores"])} for one in selected
        ]

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
        progress: ProgressArg = "auto",
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
            progress: `"auto"` draws a bar on a terminal, and in a notebook that has ipywidgets; True, False, or a
                function of the images done and in all.

        Raises:
            DatasetError: `folder` is not a folder or has no image.
            PredictionArgumentError: An argument is out of range, or `out` exists and `resume` is not set.
        """
        from lt_data import predict_folder

        with shown_progress(progress, "predicting") as tell:
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
                progress=tell,
                model=self._sha256(),
            )

    def evaluate(
        self,
        data: Mapping[str, Any] | str | os.PathLike[str],
        *,
        split: Literal["train", "val", "test"] = "val",
        metric_args: Mapping[str, Any] | None = None,
        batch_size: int = 16,
        num_workers: int | Literal["auto"] = "auto",
        progress: ProgressArg = "auto",
    ) -> Evaluation:
        """The metrics of training on any labelled images; arguments and errors as of `lightly_train.evaluate`."""
        from lightly_train.evaluation import evaluate

        return evaluate(
            self,
            data,
            split=split,
            metric_args=metric_args,
            batch_size=batch_size,
            num_workers=num_workers,
            progress=progress,
        )

    def probabilities(self, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Scores of logits, both float32 of shape (N, classes): softmax or sigmoid after the model's temperature."""
        return probabilities(torch.from_numpy(logits), self.task).numpy()

    def calibrate(
        self,
        data: Mapping[str, Any] | str | os.PathLike[str],
        *,
        split: Literal["train", "val", "test"] = "val",
        temperature: bool = True,
        batch_size: int = 16,
        num_workers: int | Literal["auto"] = "auto",
        progress: ProgressArg = "auto",
    ) -> CalibrationResult:
        """Fit on labelled images how sure scores are, and for multilabel a threshold for each class; keep both.

        From then on `predict` and everything exported from this model have the new scores: logits are divided by the
        temperature with the least log loss. That changes no order of classes, and of multilabel scores none from above
        to below 0.5. `threshold="auto"` takes the thresholds, each with the greatest F1 of its class. An earlier
        calibration is replaced. A temperature with which the log loss of these images is no less than with 1 is not
        kept: it is 1 then. What does not get better is logged. `save` writes the model to a file.

        Args:
            data: As for `evaluate`: labelled images that the model was not trained on, such as those of validation.
            split: Likewise.
            temperature: Whether a temperature is fitted; False keeps the one that there is, at first 1.
            batch_size: Images at once.
            num_workers: As for `evaluate`.
            progress: Likewise.

        Returns:
            What was fitted, the figures before and after, and `notes` on what did not get better.

        Raises:
            ConfigError: As for `evaluate`, and likewise DatasetError and ImageDecodeError.
            PredictionArgumentError: Likewise; or `temperature` is False for multiclass, which has nothing else to fit.
            ModelFileError: The model's scores are not finite.
        """
        from lightly_train.calibration import calibrate

        found = calibrate(
            self,
            data,
            split=split,
            temperature=temperature,
            batch_size=batch_size,
            num_workers=num_workers,
            progress=progress,
        )
        if found.calibration.temperature != self.task.calibration.temperature:
            # What was measured with the old scores is not true of the new ones.
            self.metrics = {name: value for name, value in self.metrics.items() if not depends_on_temperature(name)}
        self.task = attrs.evolve(self.task, calibration=found.calibration)
        self._source = None  # from now on it is another model than its file
        return found

    def save(self, out: str | os.PathLike[str]) -> None:
        """Write this model as a file that `load_model` reads, whole or not at all; a file that is there is replaced.

        Args:
            out: The file, `.pt`.

        Raises:
            ModelFileError: `out` does not end in .pt, or its folder is missing or cannot be written to.
            OutOfSpaceError: It does not fit on the disk.
            OSError: It cannot be written.
        """
        path = user_path(out)
        save_model(path, self.classifier, self.task, metrics=self.metrics, step=self.step or 0)
        self._source = SourceFile.of(path)

    def embed(self, images: Sequence[ImageLike | torch.Tensor], *, batch_size: int = 16) -> npt.NDArray[np.float32]:
        """What the backbone makes of images: the pooled features that the head gets.

        Args:
            images: A list of images, each as for `predict`.
            batch_size: Images of one forward pass, at least 1.

        Returns:
            float32 of shape (len(images), F).

        Raises:
            ImageDecodeError: One is not an image that lt-data reads, named with the reason.
            PredictionArgumentError: `batch_size` is out of range, or `images` is a single one.
        """
        if not is_whole(batch_size) or batch_size < 1:
            raise PredictionArgumentError(f"batch_size must be an integer of at least 1, got {batch_size!r}")
        every = without_tensors(images, self.task.preprocessing.num_channels)
        if not len(every):
            return np.empty((0, self.classifier.num_features), dtype=np.float32)
        parts = []
        for start in range(0, len(every), batch_size):
            inputs = torch.from_numpy(load_inputs(every[start : start + batch_size], self.task.preprocessing))
            parts.append(self._evaluated(self.classifier.features, inputs).numpy())
        return np.concatenate(parts)

    def scores(self, images: Sequence[ImageLike | torch.Tensor]) -> npt.NDArray[np.float32]:
        """Probabilities of all classes, float32 of shape (len(images), classes), in output order."""
        spec = self.task.preprocessing
        return self.run(torch.from_numpy(load_inputs(without_tensors(images, spec.num_channels), spec)))

    def prepare(self, image: ImageLike | torch.Tensor) -> npt.NDArray[np.float32]:
        """The first half of `scores`: read and preprocess one image, float32 of shape (C, height, width).

        Raises:
            ImageDecodeError: As for `predict`.
        """
        spec = self.task.preprocessing
        prepared: npt.NDArray[np.float32] = load_inputs(without_tensors([image], spec.num_channels), spec)[0]
        return prepared

    def run(self, prepared: Sequence[npt.NDArray[np.float32]] | torch.Tensor) -> npt.NDArray[np.float32]:
        """The second half of `scores`: the network, on what `prepare` gave for each image, or a tensor of these."""
        return self.probabilities(self.logits(prepared))

    def logits(self, prepared: Sequence[npt.NDArray[np.float32]] | torch.Tensor) -> npt.NDArray[np.float32]:
        """What the network says, before temperature and softmax or sigmoid; takes what `run` takes, gives its shape."""
        if not len(prepared):
            return np.empty((0, len(self.task.classes)), dtype=np.float32)
        inputs = prepared if isinstance(prepared, torch.Tensor) else torch.from_numpy(np.asarray(prepared))
        result: npt.NDArray[np.float32] = self._evaluated(self.classifier, inputs).numpy()
        return result

    @torch.no_grad()
    def _evaluated(self, network: Callable[[torch.Tensor], torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
        """What a part of the classifier gives in evaluation mode, float32 on the CPU; modes stay as they were."""
        weights = next(self.classifier.parameters())
        with evaluation_mode(self):
            result = network(inputs.to(weights.device, weights.dtype))
        return result.float().cpu()

    def export_onnx(
        self,
        out: str | os.PathLike[str],
        *,
        precision: Literal["auto", "fp32", "fp16", "int8"] = "auto",
        batch_size: int = 1,
        dynamic_batch_size: bool = True,
        height: int | None = None,
        width: int | None = None,
        opset_version: int | None = None,
        simplify: bool = True,
        verify: bool = True,
        include_preprocessing: bool = False,
        images: Sequence[ImageLike] | str | os.PathLike[str] | None = None,
        labels: Sequence[int] | Sequence[Sequence[int]] | None = None,
        max_accuracy_drop: float = 1.0,
        format_args: Mapping[str, Any] | None = None,
    ) -> OnnxExport:
        """Write one ONNX file that `lt_export.load` runs without PyTorch; this model stays as it is.

        Args:
            out: The file to write, whole or not at all.
            precision: Of the weights; auto is fp32. fp16 keeps softmax, normalisation and logits in fp32. int8 needs
                `images`.
            batch_size: N of a fixed batch; ignored, with a warning of the log, without `dynamic_batch_size=False`.
            dynamic_batch_size: Whether any N ≥ 1 is accepted.
            height: Of the input in pixels; None takes the model's own. The file's preprocessing follows it.
            width: Likewise.
            opset_version: ONNX operator set, at least 18; None leaves the choice to PyTorch's exporter.
            simplify: Whether onnxslim shortens the graph.
            verify: Whether ONNX Runtime must give the same scores as this model.
            include_preprocessing: Whether the file takes decoded images of any size, uint8 (N, H, W, C), and resizes
                and normalises them itself.
            images: Real images to verify and quantise with: a list of them, or a folder such as that of validation.
            labels: For int8 alone: class IDs of `images`; a folder with class folders has its own.
            max_accuracy_drop: For int8 alone: points of accuracy that it may lose on `images`; for a calibrated
                multilabel model both at 0.5 and at its own thresholds.
            format_args: Further arguments of `torch.onnx.export`.

        Returns:
            Path, size, and how the file compares with this model.

        Raises:
            ExportError: An argument is wrong or would do nothing beside the others, or the model cannot be exported.
            VerificationError: The exported model answers differently, or int8 costs too much; no file is written.
            DatasetError: `images` is a folder that cannot be read, or with folders that are not classes.
            MissingPackageError: A package is not installed; says which extra brings it.
        """
        from lightly_train.model_export import task_of_size
        from lt_export import export_onnx

        return export_onnx(
            self.classifier,
            task_of_size(self.task, height, width),
            out,
            precision=precision,
            batch_size=batch_size,
            dynamic_batch_size=dynamic_batch_size,
            opset_version=opset_version,
            simplify=simplify,
            verify=verify,
            include_preprocessing=include_preprocessing,
            images=images,
            labels=labels,
            max_accuracy_drop=max_accuracy_drop,
            checkpoint_sha256=self._sha256(),
            format_args=format_args,
        )

    def export_tensorrt(
        self,
        out: str | os.PathLike[str],
        *,
        precision: Literal["auto", "fp32", "fp16"] = "auto",
        onnx_args: Mapping[str, Any] | None = None,
        min_batchsize: int = 1,
        opt_batchsize: int = 1,
        max_batchsize: int = 1,
        workspace_gb: float | None = None,
        timing_cache: str | os.PathLike[str] | None = None,
        version_compatible: bool = False,
        hardware_compatible: bool = False,
        verbose: bool = False,
    ) -> TensorRTExport:
        """Write a TensorRT engine for this machine's GPU, that `lt_export.load` runs, and the ONNX file it comes from.

        The ONNX file lies beside the engine, `model.onnx` for `model.trt`; it stays when no engine can be built.

        Args:
            out: The engine to write, `.trt`, `.engine` or `.plan`; its description lies beside it as `<out>.json`.
            precision: Of the weights in the ONNX file, which the engine keeps to; auto is that of `export_onnx`.
            onnx_args: Further arguments of `export_onnx`, such as `{"height": 256, "width": 256}`.
            min_batchsize: Smallest number of images at once.
            opt_batchsize: The number it shall be fastest for.
            max_batchsize: Largest number of images at once.
            workspace_gb: Memory on the GPU that one operator may use, in GiB; None for all of it.
            timing_cache: A file with measurements of earlier builds, read where it is, and written anew.
            version_compatible: Whether newer versions of TensorRT shall run the engine too.
            hardware_compatible: Whether other GPUs of the Ampere generation or newer shall run it too.
            verbose: Whether TensorRT's messages go to the error output.

        Returns:
            The ONNX file and the engine, and how they compare with this model.

        Raises:
            EngineError: TensorRT or a GPU is missing, TensorRT refuses the model, or an argument is out of range.
                Where something is missing, the message says where the ONNX file lies and how trtexec builds from it.
            ExportError: The model cannot be exported to ONNX.
            VerificationError: The ONNX file or the engine answers differently.
            MissingPackageError: A package is not installed; says which extra brings it.
        """
        from lightly_train.model_export import task_of_size
        from lt_export import EngineError, export_tensorrt

        if onnx_args is not None and not isinstance(onnx_args, Mapping):
            raise EngineError(f"onnx_args must map arguments of export_onnx to values, got {onnx_args!r}")
        further = dict(onnx_args or {})
        return export_tensorrt(
            self.classifier,
            task_of_size(self.task, further.pop("height", None), further.pop("width", None)),
            out,
            precision=precision,
            onnx_args={"checkpoint_sha256": self._sha256(), **further},
            min_batchsize=min_batchsize,
            opt_batchsize=opt_batchsize,
            max_batchsize=max_batchsize,
            workspace_gb=workspace_gb,
            timing_cache=timing_cache,
            version_compatible=version_compatible,
            hardware_compatible=hardware_compatible,
            verbose=verbose,
        )

    def _sha256(self) -> str:
        return self._source.sha256() if self._source else ""


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Evaluate while the block runs; at its end, also when it raises, each part has the mode that it had."""
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True
