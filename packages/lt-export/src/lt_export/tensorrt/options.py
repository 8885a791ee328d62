"""How an engine is to be built."""

from __future__ import annotations

import math
from pathlib import Path

import attrs

from lt_export.runtime.engine_file import BatchSizes


@attrs.frozen(kw_only=True)
class BuildOptions:
    """Options of a build.

    Attributes:
        batch: Numbers of images at once.
        workspace_gb: Memory on the GPU that one operator may use, in GiB; None for all of it.
        timing_cache: File with measurements of earlier builds, read where it is and written; None for none.
        version_compatible: Whether newer versions of TensorRT shall run the engine.
        hardware_compatible: Whether other GPUs of the Ampere generation or newer shall run it.
        verbose: Whether TensorRT's messages go to the error output.

    Raises:
        ValueError: `workspace_gb` is not a number above 0.
    """

    batch: BatchSizes
    workspace_gb: float | None = None
    timing_cache: Path | None = None
    version_compatible: bool = False
    hardware_compatible: bool = False
    verbose: bool = False

    def __attrs_post_init__(self) -> None:
        given = self.workspace_gb
        if given is not None and not (math.isfinite(given) and given > 0):
            raise ValueError(f"workspace_gb must be above 0, or None for all memory, got {given}")

    @property
    def workspace_bytes(self) -> int | None:
        """`workspace_gb` in bytes, at least 1 MiB, which is what trtexec counts in."""
        return None if self.workspace_gb is None else max(1, round(self.workspace_gb * 1024)) * 2**20
