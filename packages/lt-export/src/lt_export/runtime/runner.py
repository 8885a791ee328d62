"""What runs a model: ONNX Runtime or TensorRT."""

from __future__ import annotations

from typing import Any, Protocol

import attrs
import numpy as np
import numpy.typing as npt


@attrs.frozen
class BatchLimits:
    """Numbers of images that a model takes at once.

    Attributes:
        smallest: At least 1; smaller batches are filled up.
        largest: Larger batches are split; None for no limit.
    """

    smallest: int = 1
    largest: int | None = None

    def __str__(self) -> str:
        if self.largest is None:
            return "any number of images"
        if self.smallest == self.largest:
            return f"exactly {self.largest} at once"
        return f"{self.smallest} to {self.largest} at once"


class Runner(Protocol):
    """A model on a device; `run` may be called from several threads."""

    @property
    def batch_limits(self) -> BatchLimits:
        """Numbers of images that `run` takes."""

    @property
    def device(self) -> str:
        """What it runs on, such as `"cpu (ONNX Runtime 1.31.1)"`."""

    def run(self, images: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Scores, float32 of shape (N, classes), of one batch.

        Args:
            images: Preprocessed, float32 of shape (N, C, height, width); or, for a model that preprocesses by itself,
                uint8 of shape (N, height, width, C) in any size.
        """
