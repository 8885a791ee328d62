"""Whether an exported model answers as the original does."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from lt_data import TaskSpec, preprocess
from lt_export.errors import VerificationError
from lt_export.metadata import INPUT_NAME, OUTPUT_NAME

MAX_SCORE_DIFFERENCE = 1e-4
"""Largest difference of a score between PyTorch and ONNX Runtime in fp32; rounding alone stays below 1e-5."""


@attrs.frozen
class Verification:
    """How the exported model compares with the original.

    Attributes:
        largest_difference: Of any score.
        agreement: Share of images whose best class is the same.
        images: How many were compared.
    """

    largest_difference: float
    agreement: float
    images: int

    def __str__(self) -> str:
        return (
            f"verified on {self.images} images: largest score difference {self.largest_difference:.1e}, "
            f"{self.agreement:.1%} same best class"
        )


def structured_images(task: TaskSpec, count: int) -> npt.NDArray[np.float32]:
    """Images of smooth colour gradients and edges, preprocessed: float32 of shape (count, C, H, W).

    Noise, which is alike everywhere, would hide errors of position and of scale.
    """
    spec = task.preprocessing
    height, width = spec.image_size
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    images = []
    for i in range(count):
        waves = [
            np.sin((i + 1) * (band + 1) * rows / height * np.pi) * np.cos((i + band) * columns / width * np.pi)
            for band in range(spec.num_channels)
        ]
        image = np.stack(waves, axis=2) * 127.5 + 127.5
        image[height // 4 : height // 2, width // (i + 2) :] = (
            255 - image[height // 4 : height // 2, width // (i + 2) :]
        )
        images.append(preprocess(image.astype(np.uint8), attrs.evolve(spec, resize_scale=1.0)))
    return np.stack(images)


@torch.no_grad()
def verify_onnx(content: bytes, model: nn.Module, task: TaskSpec, batch_sizes: Sequence[int]) -> Verification:
    """Compare scores on structured images.

    Args:
        content: The serialised ONNX model.
        model: Images to scores in PyTorch fp32.
        task: Gives the shape of the input and the number of classes.
        batch_sizes: Each is run once.

    Raises:
        VerificationError: A score differs by more than `MAX_SCORE_DIFFERENCE`, or a best class differs.
    """
    from lt_export.runtime.onnx_session import open_session

    session = open_session(content, num_threads=None)
    differences, same = [], []
    for batch_size in batch_sizes:
        images = structured_images(task, batch_size)
        expected = model(torch.from_numpy(images)).numpy()
        (scores,) = session.run([OUTPUT_NAME], {INPUT_NAME: images})
        if scores.shape != (batch_size, len(task.classes)):
            raise VerificationError(f"expected scores of {(batch_size, len(task.classes))}, got {scores.shape}")
        differences.append(float(np.abs(scores - expected).max()))
        # Where two classes tie within the tolerance, either is the best.
        chosen = np.take_along_axis(expected, scores.argmax(axis=1)[:, np.newaxis], axis=1)[:, 0]
        same.append(chosen >= expected.max(axis=1) - MAX_SCORE_DIFFERENCE)
    result = Verification(max(differences), float(np.concatenate(same).mean()), sum(batch_sizes))
    if not result.largest_difference <= MAX_SCORE_DIFFERENCE or result.agreement < 1.0:
        raise VerificationError(f"the exported model answers differently, limit {MAX_SCORE_DIFFERENCE:.0e}: {result}")
    return result
