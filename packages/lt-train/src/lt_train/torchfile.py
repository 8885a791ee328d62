"""Files of tensors and plain values. Reading one never executes anything in it."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lt_data import atomic_write
from lt_train.errors import ModelFileError


def write_torch_file(path: Path, content: Mapping[str, Any]) -> None:
    """Write tensors and plain values, whole or not at all.

    Raises:
        OSError: The folder cannot be written or the disk is full; what was at `path` is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as stream:
        torch.save(dict(content), stream)


def read_torch_file(path: Path, formats: Mapping[str, int]) -> dict[str, Any]:
    """Read a file that `write_torch_file` wrote, its tensors on the CPU.

    Args:
        path: The file.
        formats: Which values of the key `format` are expected, and the newest `version` known of each.

    Raises:
        ModelFileError: The file is missing, damaged, foreign, or newer than this version.
    """
    if path.is_dir():
        raise ModelFileError(f"{path}: is a folder; a run's best model is exported_models/exported_best.pt in it")
    if not path.is_file():
        raise ModelFileError(f"{path}: there is no such file")
    if not zipfile.is_zipfile(path):
        raise ModelFileError(f"{path}: is not a model that lightly-train exported; it was not unpickled")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, TypeError, KeyError, EOFError, OSError) as error:
        raise ModelFileError(
            f"{path}: is not a model that lightly-train exported, or is damaged; nothing in it was executed "
            f"({type(error).__name__})"
        ) from error
    found = content.get("format") if isinstance(content, dict) else None
    if not isinstance(found, str) or found not in formats:
        raise ModelFileError(f"{path}: is not a model that lightly-train exported (no key `format` of ours)")
    version = content.get("version")
    if not isinstance(version, int) or not 1 <= version <= formats[found]:
        raise ModelFileError(f"{path}: has version {version!r} of {found}; upgrade lt-train to read it")
    return dict(content)
