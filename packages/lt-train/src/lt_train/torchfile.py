"""Files of tensors and plain values. Reading one never executes anything in it."""

from __future__ import annotations

import errno
import pickle
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lt_data import atomic_write
from lt_train.errors import ModelFileError, OutOfSpaceError
from lt_train.model_path import check_model_path

MARGIN_BYTES = 1 << 20
"""Left free beside a file's tensors, for names and plain values, and for others who write."""

TENSOR_HEADER_BYTES = 256

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def write_torch_file(path: Path, content: Mapping[str, Any]) -> None:
    """Write tensors and plain values, whole or not at all.

    Raises:
        OutOfSpaceError: It does not fit on the disk; what was at `path` is still there.
        OSError: The folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    needed, free = _size(content) + MARGIN_BYTES, shutil.disk_usage(path.parent).free
    if needed > free:
        raise OutOfSpaceError(path, needed, free)
    try:
        with atomic_write(path) as stream:
            torch.save(dict(content), stream)
    except (OSError, RuntimeError) as error:
        cause = _os_error(error)
        if cause is None or cause.errno not in FULL:
            raise
        free = shutil.disk_usage(path.parent).free
        raise OutOfSpaceError(path, needed, free, cause.strerror or str(cause)) from error


def _size(content: Any) -> int:
    """Bytes that a value takes in a file, roughly: those of its tensors."""
    if isinstance(content, torch.Tensor):
        return content.numel() * content.element_size() + TENSOR_HEADER_BYTES
    if isinstance(content, Mapping):
        return sum(_size(value) for value in content.values())
    if isinstance(content, (list, tuple)):
        return sum(_size(value) for value in content)
    return len(content) if isinstance(content, str) else 0


def _os_error(error: BaseException | None) -> OSError | None:
    """The system's error below PyTorch's, which closes its archive, fails at that too, and reports only the latter."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error


def read_torch_file(path: Path, formats: Mapping[str, int]) -> dict[str, Any]:
    """Read a file that `write_torch_file` wrote, its tensors on the CPU.

    Args:
        path: The file.
        formats: Which values of the key `format` are expected, and the newest `version` known of each.

    Raises:
        ModelFileError: The file is missing, damaged, foreign, or newer than this version.
    """
    check_model_path(path)
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
