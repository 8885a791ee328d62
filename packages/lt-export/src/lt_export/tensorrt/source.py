"""The ONNX file that an engine is built from."""

from __future__ import annotations

from pathlib import Path

import attrs

from lt_export.errors import EngineError
from lt_export.metadata import INPUT_NAME, from_metadata
from lt_export.runtime.description import Description
from lt_export.runtime.engine_file import BatchSizes
from lt_export.runtime.onnx_file import fixed_batch, read_onnx


@attrs.frozen
class EngineSource:
    """An ONNX file that TensorRT can take.

    Attributes:
        path: Where it lies.
        content: All of it.
        description: What it says about itself.
        fixed_batch: Number of images that it takes at once, None for any.
    """

    path: Path
    content: bytes = attrs.field(repr=False)
    description: Description
    fixed_batch: int | None

    def check_batch(self, batch: BatchSizes) -> None:
        """Refuse numbers of images that the file does not take."""
        fixed = self.fixed_batch
        if fixed is not None and batch != BatchSizes(fixed, fixed, fixed):
            raise EngineError(
                f"{self.path}: takes exactly {fixed} images at once: min_batchsize, opt_batchsize and max_batchsize "
                f"must all be {fixed}; or export it anew with `dynamic_batch_size`"
            )


def read_source(path: Path) -> EngineSource:
    """Read and check an ONNX file.

    Raises:
        EdgeModelError: It is not an ONNX file of ours.
        EngineError: It preprocesses by itself, which TensorRT cannot.
    """
    found = read_onnx(path)
    description = from_metadata(found.metadata, str(path))
    if description.includes_preprocessing:
        raise EngineError(
            f"{path}: includes its preprocessing, and TensorRT has no antialiased resize; "
            "export it anew without `include_preprocessing`"
        )
    return EngineSource(path, found.content, description, fixed_batch(found.content, INPUT_NAME))
