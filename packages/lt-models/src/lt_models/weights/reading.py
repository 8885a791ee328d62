"""Files of weights into tensors by name. Nothing in a file is ever executed."""

from __future__ import annotations

import json
import os
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lt_models.errors import WeightsError

CONTAINERS = ("state_dict", "model", "teacher", "train_model", "model_state_dict")
"""Keys under which training programs keep the weights, in the order in which they are looked for."""

PREFIXES = ("_orig_mod.", "module.", "model.", "backbone.")
"""What wrappers (torch.compile, DDP, training programs) put before every name."""

SAFETENSORS_HEADER_LIMIT = 100_000_000
"""Of the format itself."""


def read_state(path: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    """The weights in a `.pt`, `.pth`, `.ckpt`, `.bin` or `.safetensors` file, known by its content.

    Nested dicts and wrappers' prefixes are taken off (`CONTAINERS`, `PREFIXES`). Of a file with a backbone and more,
    such as the models that lightly-train exports, only the backbone is returned.

    Returns:
        CPU tensors by name; where the format allows it they are mapped from the file, not read.

    Raises:
        WeightsError: The file is missing, damaged, of another format, too large for its content, or holds objects that
            only unpickling could read.
    """
    path = Path(path).expanduser()
    kind = _kind(path)
    content = _read_safetensors(path) if kind == "safetensors" else _read_torch(path, archive=kind == "zip")
    state = _tensors(content, path)
    _check_size(state, path)
    return _without_prefixes(state)


def _kind(path: Path) -> str:
    """`safetensors`, `zip` (torch.save), or `pickle` (torch.save before PyTorch 1.6)."""
    if path.is_dir():
        raise WeightsError(f"{path}: is a folder, not a file of weights", path=path)
    try:
        with path.open("rb") as stream:
            start = stream.read(64)
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: there is no such file", path=path) from error
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error}", path=path) from error
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= SAFETENSORS_HEADER_LIMIT:
        return "safetensors"
    if start.startswith(b"\x80"):
        return "pickle"
    if start.startswith(b"version https://git-lfs"):
        raise WeightsError(f"{path}: is a Git LFS pointer; fetch the file itself with `git lfs pull`", path=path)
    if start.lstrip()[:1] == b"<":
        raise WeightsError(f"{path}: is a web page, not a file of weights", path=path)
    wrong = "is empty" if not start else "is neither a file of torch.save nor safetensors, or is damaged"
    raise WeightsError(f"{path}: {wrong}", path=path)


def _read_safetensors(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError) as error:
        raise WeightsError(f"{path}: is damaged: {error}", path=path) from error


def _read_torch(path: Path, *, archive: bool) -> Any:
    if archive:
        _check_archive(path)
    try:
        if archive and path.suffix != ".safetensors":
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        # Given a path, PyTorch goes by its ending; given a stream, by its content, as we do.
        with path.open("rb") as stream:
            return torch.load(stream, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(f"{path}: {_refusal(str(error))}; nothing in it was executed", path=path) from None
    # Damaged pickles fail in as many ways as there are instructions in them.
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        raise WeightsError(
            f"{path}: is damaged, or not a file of weights: {type(error).__name__} {first}; nothing in it was executed",
            path=path,
        ) from error


def _check_archive(path: Path) -> None:
    """Refuse what torch.save does not write: TorchScript, and compressed or overlapping entries (zip bombs)."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise WeightsError(f"{path}: is damaged or was not written to its end: {error}", path=path) from error
    if any(entry.filename.endswith("/constants.pkl") for entry in entries):
        raise WeightsError(f"{path}: is a TorchScript program; save its `state_dict()` instead", path=path)
    compressed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    if compressed or sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise WeightsError(
            f"{path}: unpacks to more than the file's own size; torch.save writes no such file", path=path
        )


def _refusal(message: str) -> str:
    """What torch's loader refused, in a few words."""
    found = re.search(r"(?:GLOBAL|class|Unsupported global:)\s+`?([\w.]+(?:\.[\w]+)+)", message)
    if found:
        return (
            f"holds a {found[1]}, which only unpickling could read; save the tensors alone: "
            "torch.save(model.state_dict(), file)"
        )
    return "is damaged, or holds objects that only unpickling could read"


def _tensors(content: Any, path: Path) -> dict[str, torch.Tensor]:
    """The dict of tensors in a file's content."""
    seen = []
    for _ in range(len(CONTAINERS)):
        if not isinstance(content, Mapping):
            break
        nested = next((key for key in CONTAINERS if isinstance(content.get(key), Mapping)), None)
        if nested is None:
            state = {key: value for key, value in content.items() if isinstance(key, str) and torch.is_tensor(value)}
            if state:
                return state
            break
        seen.append(nested)
        content = content[nested]
    inside = f" in {'.'.join(seen)}" if seen else ""
    keys = f"the keys {_some(content)}" if isinstance(content, Mapping) else f"a {type(content).__name__}"
    raise WeightsError(f"{path}: holds no tensors by name{inside}, but {keys}", path=path)


def _check_size(state: Mapping[str, torch.Tensor], path: Path) -> None:
    limit = path.stat().st_size
    for name, tensor in state.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
            raise WeightsError(
                f"{path}: {name} is not a plain tensor, but {tensor.layout} on {tensor.device}", path=path
            )
        # A view of one number can claim any shape.
        if tensor.numel() * tensor.element_size() > limit:
            shape = tuple(tensor.shape)
            raise WeightsError(f"{path}: {name} claims the shape {shape}, more than the file holds", path=path)


def _without_prefixes(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    while True:
        inside = [key for key in state if key.startswith("backbone.")]
        prefix = "backbone." if inside else next((p for p in PREFIXES if all(k.startswith(p) for k in state)), None)
        if prefix is None:
            return state
        state = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def _some(content: Mapping[Any, Any]) -> str:
    keys = [str(key) for key in content]
    return json.dumps(keys[:8])[1:-1] + (", …" if len(keys) > 8 else "") or "(none)"
