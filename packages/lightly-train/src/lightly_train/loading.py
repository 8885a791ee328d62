"""Models of every kind from their files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

from lt_data import PredictionArgumentError, listed, user_path
from lt_train import check_model_path

if TYPE_CHECKING:
    import torch

    from lightly_train.model import ImageClassification
    from lt_export import EdgeClassifier

EDGE_SUFFIXES = (".onnx", ".trt", ".engine", ".plan")
"""Of models that run without PyTorch."""


def load_any(
    path: str | os.PathLike[str], *, device: str | torch.device = "auto"
) -> ImageClassification | EdgeClassifier:
    """The model of a file: by its ending one that runs without PyTorch, else an exported model or checkpoint.

    PyTorch is imported only for the latter.

    Args:
        path: The file.
        device: Where it runs; auto takes the best that is there.

    Raises:
        ModelFileError: The file of a PyTorch model is missing, damaged or not ours.
        EdgeModelError: Likewise, of an ONNX file or engine; or it cannot run here, or not on `device`.
        PredictionArgumentError: A PyTorch model cannot run on `device` here.
    """
    if user_path(path).suffix.lower() in EDGE_SUFFIXES:
        import lt_export

        return lt_export.load(path, device=cast("Any", device))  # refuses what it does not know
    return load_model(path, device=device)


def load_model(path: str | os.PathLike[str], *, device: str | torch.device = "auto") -> ImageClassification:
    """Load an exported model or a checkpoint, ready to predict.

    Args:
        path: Such as `out/my_experiment/exported_models/exported_best.pt`.
        device: Where it runs, such as `"cpu"`, `"cuda"` or `"cuda:1"`; auto is the first of CUDA, MPS and CPU that is
            there.

    Raises:
        ModelFileError: The file is missing, damaged, or not ours. Nothing in it is executed.
        PredictionArgumentError: There is no such device here; names those that there are.
    """
    # Before what imports PyTorch, for seconds.
    check_model_path(path)
    from lightly_train.model import ImageClassification
    from lightly_train.source_file import SourceFile
    from lt_train import load_exported

    file = user_path(path)
    exported = load_exported(file)
    source = SourceFile.of(file)
    model = ImageClassification(exported.build(), exported.task, source, metrics=exported.metrics, step=exported.step)
    return model.to(_device(device)).eval()


def _device(device: str | torch.device) -> torch.device:
    import torch

    if device != "auto":
        return _named_device(device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _named_device(name: str | torch.device) -> torch.device:
    """A device that is there.

    Raises:
        PredictionArgumentError: It is not.
    """
    import torch

    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    # AssertionError: PyTorch was built without it.
    except (RuntimeError, AssertionError, TypeError) as error:
        gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
        there = ["cpu", *gpus, *(["mps"] if torch.backends.mps.is_available() else [])]
        raise PredictionArgumentError(
            f"device must be auto or one that is here ({listed(there)}), got {name}"
        ) from error
    return device
