"""Copies of tensors in host memory, to be written while the originals change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


class HostCopies:
    """Copies into buffers that are kept from one time to the next: fresh memory is slow to touch and slow to pin."""

    def __init__(self) -> None:
        self._buffers: dict[str, torch.Tensor] = {}
        self._pinned = False

    def take(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Nested dicts, lists and tuples with every tensor copied; valid until the next call.

        On a GPU all copies are queued at once into pinned memory, and waited for at the end.
        """
        copied = {key: self._copy(value, str(key)) for key, value in content.items()}
        if self._pinned:
            torch.cuda.current_stream().synchronize()
        return copied

    def reserve(self, content: Mapping[str, Any]) -> None:
        """Make the buffers for `content`, and touch their memory, so that the first `take` need not."""
        for key, value in content.items():
            self._reserve(value, str(key))

    def _reserve(self, value: Any, path: str) -> None:
        if isinstance(value, torch.Tensor):
            self._buffer(value, path).zero_()
        elif isinstance(value, Mapping):
            for key, inner in value.items():
                self._reserve(inner, f"{path}.{key}")

    def _copy(self, value: Any, path: str) -> Any:
        if isinstance(value, torch.Tensor):
            return self._buffer(value, path).copy_(value.detach(), non_blocking=value.is_cuda)
        if isinstance(value, Mapping):
            return {key: self._copy(inner, f"{path}.{key}") for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(self._copy(inner, f"{path}.{i}") for i, inner in enumerate(value))
        return value

    def _buffer(self, tensor: torch.Tensor, path: str) -> torch.Tensor:
        buffer = self._buffers.get(path)
        if buffer is None or buffer.shape != tensor.shape or buffer.dtype != tensor.dtype:
            buffer = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
            self._buffers[path] = buffer
            self._pinned |= tensor.is_cuda
        return buffer
