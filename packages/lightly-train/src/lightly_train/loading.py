"""Models of every kind from their files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from lightly_train.model import ImageClassification
    from lt_export import EdgeClassifier

EDGE_SUFFIXES = (".onnx", ".trt", ".engine", ".plan")
"""Of models that run without PyTorch."""


def load_any(path: str | os.PathLike[str], *, device: str = "auto") -> ImageClassification | EdgeClassifier:
    """The model of a file: by its ending one that runs without PyTorch, else an exported model or checkpoint.

    PyTorch is imported only for the latter.

    Args:
        path: The file.
        device: Where it runs; auto takes the best that is there.

    Raises:
        ModelFileError: The file of a PyTorch model is missing, damaged or not ours.
        EdgeModelError: Likewise, of an ONNX file or engine; or the engine cannot run here.
    """
    if Path(path).suffix.lower() in EDGE_SUFFIXES:
        import lt_export

        return lt_export.load(path, device=cast("Any", device))  # refuses what it does not know
    from lightly_train.model import load_model

    return load_model(path, device=device)
