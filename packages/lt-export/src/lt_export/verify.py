"""Whether an exported model answers as the original does."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lt_data import ImageLike, load_image, preprocess
from lt_export.agreement import LIMITS, Agreement, compare
from lt_export.errors import VerificationError
from lt_export.metadata import INPUT_NAME, OUTPUT_NAME
from lt_export.runtime.description import Description

DYNAMIC_SIZES = (1, 2, 5)
"""Numbers of images that are run one after the other, over and over, where the batch is dynamic."""

Scores = Callable[[npt.NDArray[Any]], npt.NDArray[np.float32]]


def verify_onnx(
    content: bytes, reference: Scores, images: Sequence[ImageLike], description: Description, sizes: Sequence[int]
) -> Agreement:
    """Compare scores of a serialised model, run with ONNX Runtime on the CPU, with those of the original.

    Args:
        content: The model.
        reference: Scores of preprocessed images in PyTorch fp32.
        images: At least one; taken over again to fill the last batch.
        description: Says how images become input, and which limits hold.
        sizes: Numbers of images run at once, over and over.

    Raises:
        VerificationError: The scores are beyond the limits of the precision, or have another shape.
    """
    task, limits = description.task, LIMITS[description.precision]
    run = onnx_scores(content)
    expected, found = [], []
    for batch in in_batches(images, sizes):
        pixels = [load_image(image, task.preprocessing.num_channels, task.preprocessing.decoding) for image in batch]
        prepared = np.stack([preprocess(image, task.preprocessing) for image in pixels])
        expected.append(reference(prepared))
        if description.includes_preprocessing:
            # Sizes differ, so each image is a batch of its own, as large as the batch would have been.
            found.append(np.concatenate([run(np.stack([image] * len(batch)))[-1:] for image in pixels]))
        else:
            found.append(run(prepared))
        if found[-1].shape != (len(batch), len(task.classes)):
            raise VerificationError(f"expected scores of {(len(batch), len(task.classes))}, got {found[-1].shape}")
    agreement = compare(np.concatenate(found), np.concatenate(expected), task.task, limits.difference)
    if not limits.allow(agreement):
        raise VerificationError(
            f"the exported model answers differently: {agreement}; allowed are {limits.difference:.0e} and "
            f"{limits.agreement:.1%}"
        )
    return agreement


def onnx_scores(content: bytes) -> Scores:
    """A serialised model as a function, run with ONNX Runtime on the CPU."""
    from lt_export.runtime.onnx_runner import open_session

    session = open_session(content, device="cpu")
    return lambda batch: session.run([OUTPUT_NAME], {INPUT_NAME: batch})[0]  # type: ignore[no-any-return]


def in_batches(images: Sequence[ImageLike], sizes: Sequence[int]) -> Iterator[list[ImageLike]]:
    """Batches of `sizes`, over and over until each image was there; the last is filled up with the first images."""
    again = itertools.cycle(images)
    left = len(images)
    for size in itertools.cycle(sizes):
        if left <= 0:
            return
        yield [next(again) for _ in range(size)]
        left -= size
