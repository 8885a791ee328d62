"""What cannot be a file of tensors, told without waiting for PyTorch."""

from __future__ import annotations

import os
import zipfile

from lt_data import looked_for, user_path
from lt_train.errors import ModelFileError

WITHOUT_PYTORCH = (".onnx", ".trt", ".engine", ".plan")
"""Suffixes of what is exported for machines that only predict."""


def check_model_path(path: str | os.PathLike[str]) -> None:
    """Refuse what is seen at once not to be an exported model or checkpoint; PyTorch is not imported.

    Args:
        path: Of an exported model or checkpoint; `~` is the home folder.

    Raises:
        ModelFileError: There is no such file, or it is of another kind.
    """
    file = user_path(path)
    if file.is_dir():
        models = "" if (file / "exported_best.pt").is_file() else "exported_models/"
        raise ModelFileError(f"{file}: is a folder; a run's best model is {models}exported_best.pt in it")
    if not file.is_file():
        raise ModelFileError(f"{file}: there is no such file{looked_for(file)}")
    if file.suffix.lower() in WITHOUT_PYTORCH:
        raise ModelFileError(
            f"{file}: is for predicting without PyTorch: `lt_export.load` and the commands `lightly-train predict` and "
            "`evaluate` take it; here the .pt file or checkpoint is needed that it was exported from"
        )
    if not zipfile.is_zipfile(file):
        raise ModelFileError(f"{file}: is not a model that lightly-train exported; it was not unpickled")
