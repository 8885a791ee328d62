"""How fast a model is on this machine, and whether it still gives the scores it should."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import attrs
import numpy as np
import numpy.typing as npt

from lt_data import PredictionArgumentError, Preprocessing, is_whole
from lt_export.agreement import LIMITS, Agreement, compare
from lt_export.errors import EdgeModelError, SelfTestError
from lt_export.probes import probe_images
from lt_export.runtime.description import Description
from lt_export.runtime.runner import BatchLimits

Scores = Callable[[Sequence[npt.NDArray[np.uint8]]], npt.NDArray[np.float32]]

IMAGE_SIZE = (480, 640)
"""Height and width of the images of a benchmark in pixels."""


@attrs.frozen(kw_only=True)
class Benchmark:
    """Times of a batch, preprocessing and model together.

    Attributes:
        p50: Median in seconds.
        p95: The time in seconds that 95 % of the batches stay below.
        images_per_second: By the sum of all times.
        batch_size: Images of a batch.
        runs: Batches measured.
    """

    p50: float
    p95: float
    images_per_second: float
    batch_size: int
    runs: int

    def __str__(self) -> str:
        return (
            f"p50 {self.p50 * 1e3:.2f} ms, p95 {self.p95 * 1e3:.2f} ms, {self.images_per_second:.1f} images/s "
            f"({self.runs} batches of {self.batch_size})"
        )


def benchmark(
    scores: Scores, spec: Preprocessing, limits: BatchLimits, *, batch_size: int | None, runs: int, warmup: int
) -> Benchmark:
    """Time `scores` on images of 480 x 640 pixels; None as `batch_size` takes the fewest that the model does."""
    batch_size = limits.smallest if batch_size is None else batch_size
    for name, value, least in (("batch_size", batch_size, 1), ("runs", runs, 1), ("warmup", warmup, 0)):
        if not is_whole(value) or value < least:
            raise PredictionArgumentError(f"{name} must be an integer of at least {least}, got {value!r}")
    if batch_size < limits.smallest or (limits.largest is not None and batch_size > limits.largest):
        raise PredictionArgumentError(
            f"the model takes {limits}: a batch of {batch_size} would be filled up with empty images, or split, and "
            "its time would say little; give a batch_size that the model takes, or none"
        )
    height, width = IMAGE_SIZE
    (larger,) = probe_images(attrs.evolve(spec, image_size=IMAGE_SIZE), 1)
    images = [np.ascontiguousarray(larger[:height, :width])] * batch_size
    times = []
    for number in range(warmup + runs):
        began = time.perf_counter()
        scores(images)
        if number >= warmup:
            times.append(time.perf_counter() - began)
    return Benchmark(
        p50=float(np.percentile(times, 50)),
        p95=float(np.percentile(times, 95)),
        images_per_second=batch_size * runs / sum(times),
        batch_size=batch_size,
        runs=runs,
    )


@attrs.frozen(kw_only=True)
class SelfTest:
    """A self-test that passed.

    Attributes:
        agreement: How the scores compare with those in the file.
        limit: Largest difference of a score that is allowed for the model's precision.
    """

    agreement: Agreement
    limit: float

    def __str__(self) -> str:
        return f"{self.agreement}; limit {self.limit:.0e}"


def selftest(scores: Scores, description: Description) -> SelfTest:
    """Compare the scores of `probe_images` with those that the exporting machine noted."""
    expected = description.reference_scores
    if not len(expected):
        raise EdgeModelError("the file has no reference scores; export it anew with this version of lt-export")
    found = scores(probe_images(description.task.preprocessing, len(expected)))
    limits = LIMITS[description.precision]
    agreement = compare(found, expected, description.task, limits.difference)
    if not limits.allow(agreement):
        raise SelfTestError(
            f"this machine gives other scores than the one that exported the model, limit {limits.difference:.0e}: "
            f"{agreement}"
        )
    return SelfTest(agreement=agreement, limit=limits.difference)
