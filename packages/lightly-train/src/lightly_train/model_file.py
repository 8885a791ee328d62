"""Models as files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lt_data import TaskSpec, check_writable
from lt_models import Classifier
from lt_train import ExportedModel, ModelFileError, save_exported


def save_model(path: Path, classifier: Classifier, task: TaskSpec, *, metrics: Mapping[str, float], step: int) -> None:
    """Write what `load_model` reads, whole or not at all; errors as of `ImageClassification.save`."""
    check_model_file(path)
    state = {name: tensor.detach().cpu() for name, tensor in classifier.state_dict().items()}
    save_exported(path, ExportedModel(task=task, spec=classifier.spec, state=state, metrics=dict(metrics), step=step))


def check_model_file(path: Path) -> None:
    """Refuse a place to which `ImageClassification.save` could not write.

    Raises:
        ModelFileError: The name does not end in .pt, or is a folder's; or the file's folder is missing or cannot be
            written to.
    """
    folder = path.absolute().parent
    if path.suffix.lower() != ".pt" or path.is_dir():
        raise ModelFileError(f"{path}: name a file that ends in .pt")
    if not folder.is_dir():
        raise ModelFileError(f"{folder}: there is no such folder")
    try:
        check_writable(folder)
    except OSError as error:
        raise ModelFileError(f"{folder}: cannot be written to: {error.strerror}") from error
