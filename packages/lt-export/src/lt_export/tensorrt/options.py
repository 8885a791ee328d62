"""How an engine is to be built."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import attrs

from lt_export.errors import EngineError
from lt_export.paths import as_path
from lt_export.runtime.engine_file import BatchSizes


def _path_or_none(given: Any) -> Path | None:
    return None if given is None else as_path(given, "timing_cache", EngineError)


@attrs.frozen(kw_only=True)
class BuildOptions:
    """The options of `build_engine`, checked.

    Attributes:
        min_batchsize: Smallest number of images at once.
        opt_batchsize: The number it shall be fastest for.
        max_batchsize: Largest number of images at once.
        workspace_gb: Memory on the GPU that one operator may use, in GiB; None for all of it.
        timing_cache: File with measurements of earlier builds, read where it is and written; None for none.
        version_compatible: Whether newer versions of TensorRT shall run the engine.
        hardware_compatible: Whether other GPUs of the Ampere generation or newer shall run it.
        verbose: Whether TensorRT's messages go to the error output.

    Raises:
        EngineError: A value is of another type or out of range.
    """

    min_batchsize: int
    opt_batchsize: int
    max_batchsize: int
    workspace_gb: float | None
    timing_cache: Path | None = attrs.field(converter=_path_or_none)
    version_compatible: bool
    hardware_compatible: bool
    verbose: bool

    def __attrs_post_init__(self) -> None:
        try:
            _ = self.batch
        except ValueError as error:
            raise EngineError(str(error)) from error
        given = self.workspace_gb
        if given is not None and (
            isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 < given < math.inf
        ):
            raise EngineError(f"workspace_gb must be above 0, or None for all memory, got {given!r}")

    @property
    def batch(self) -> BatchSizes:
        """The three numbers of images."""
        return BatchSizes(self.min_batchsize, self.opt_batchsize, self.max_batchsize)

    @property
    def workspace_bytes(self) -> int | None:
        """`workspace_gb` in bytes, at least 1 MiB, which is what trtexec counts in."""
        return None if self.workspace_gb is None else max(1, round(self.workspace_gb * 1024)) * 2**20
