"""Whether an exported model answers as the original does."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from lt_data import ImageLike, Preprocessing, load_image, load_inputs, preprocess
from lt_export.agreement import LIMITS, Agreement, compare
from lt_export.errors import EdgeModelError, VerificationError
from lt_export.runtime.description import Description

DYNAMIC_SIZES = (1, 2, 5)
"""Numbers of images that are run one after the other, over and over, where the batch is dynamic."""

Scores = Callable[[npt.NDArray[Any]], npt.NDArray[np.float32]]


@attrs.frozen(eq=False)
class BothScores:
    """Scores of the same images, each float32 of shape (N, classes).

    Attributes:
        original: In PyTorch fp32.
        exported: Of the exported model.
    """

    original: npt.NDArray[np.float32]
    exported: npt.NDArray[np.float32]


def both_scores(
    content: bytes, original: Scores, images: Sequence[ImageLike], description: Description, sizes: Sequence[int]
) -> BothScores:
    """Scores of a serialised model, run with ONNX Runtime on the CPU, and of the original.

    Args:
        content: The model.
        original: Scores of preprocessed images in PyTorch fp32.
        images: At least one; N are those and, to fill the last batch, the first ones again.
        description: Says how images become input.
        sizes: Numbers of images run at once, over and over.

    Raises:
        VerificationError: The exported model's scores have another shape.
    """
    spec, classes = description.task.preprocessing, len(description.task.classes)
    run = onnx_scores(content)
    expected, found = [], []
    for batch in in_batches(images, sizes):
        pixels = [load_image(image, spec.num_channels, spec.decoding) for image in batch]
        prepared = np.stack([preprocess(image, spec) for image in pixels])
        expected.append(original(prepared))
        if description.includes_preprocessing:
            # Sizes differ, so each image is a batch of its own, as large as the batch would have been.
            found.append(np.concatenate([run(np.stack([image] * len(batch)))[-1:] for image in pixels]))
        else:
            found.append(run(prepared))
        if found[-1].shape != (len(batch), classes):
            raise VerificationError(f"expected scores of {(len(batch), classes)}, got {found[-1].shape}")
    return BothScores(np.concatenate(expected), np.concatenate(found))


def verified(scores: BothScores, description: Description) -> Agreement:
    """Refuse scores that differ by more than is allowed for the precision.

    Raises:
        VerificationError: They do.
    """
    limits = LIMITS[description.precision]
    agreement = compare(scores.exported, scores.original, description.task, limits.difference)
    if not limits.allow(agreement):
        raise VerificationError(
            f"the exported model answers differently: {agreement}; allowed are {limits.difference:.0e} and "
            f"{limits.agreement:.1%}"
        )
    return agreement


def onnx_scores(content: bytes) -> Scores:
    """A serialised model as a function, run with ONNX Runtime on the CPU.

    Raises:
        VerificationError: ONNX Runtime cannot load it, or later run it.
    """
    from lt_export.runtime.onnx_runner import OnnxRunner, open_session

    try:
        runner = OnnxRunner(open_session(content, device="cpu"))
    except EdgeModelError as error:
        raise VerificationError(f"the exported model does not load: {error}") from error

    def scores(batch: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        try:
            return runner.run(batch)
        except EdgeModelError as error:
            raise VerificationError(f"the exported model does not run: {error}") from error

    return scores


def prepared_batches(
    images: Sequence[ImageLike], spec: Preprocessing, sizes: Sequence[int]
) -> Iterator[npt.NDArray[np.float32]]:
    """Preprocessed images in batches of `sizes`, one batch in memory at a time."""
    return (load_inputs(batch, spec) for batch in in_batches(images, sizes))


def in_batches(images: Sequence[ImageLike], sizes: Sequence[int]) -> Iterator[list[ImageLike]]:
    """Batches of `sizes`, over and over until each image was there; the last is filled up with the first images."""
    again = itertools.cycle(images)
    left = len(images)
    for size in itertools.cycle(sizes):
        if left <= 0:
            return
        yield [next(again) for _ in range(size)]
        left -= size
