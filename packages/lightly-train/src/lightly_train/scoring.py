"""From a model and labelled images to scores: those of `predict`, for every kind of model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal

import attrs
import numpy as np
import numpy.typing as npt

from lightly_train.progress import Progress
from lightly_train.scored import ScoredSamples
from lt_data import ImageDecodeError, Problem, SampleIndex, results_in_order
from lt_export import EdgeClassifier
from lt_train import ModelFileError

if TYPE_CHECKING:
    from lightly_train.model import ImageClassification
    from lt_data.torch import BadImages

AHEAD = 2
"""Batches that threads read before they are needed."""

Indices = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]


def score_samples(
    model: ImageClassification | EdgeClassifier,
    samples: SampleIndex,
    *,
    batch_size: int,
    num_workers: int,
    on_bad_image: Literal["skip", "error"] = "skip",
    progress: Progress = lambda done, total: None,
    with_logits: bool = False,
    log_unreadable: bool = True,
) -> ScoredSamples:
    """Score labelled images, with what validation does with those that cannot be read.

    Args:
        model: A PyTorch model, which runs where it is; or one that runs without PyTorch.
        samples: The images, with labels in the classes of the model.
        batch_size: Images at once.
        num_workers: Who reads images: processes for a PyTorch model, 0 for none; else threads, at least one.
        on_bad_image: `"skip"` leaves out images that cannot be read, and stops at too many; `"error"` stops at
            the first.
        progress: Is told how many images are done, and how many there are.
        with_logits: Whether the logits are kept too; of a PyTorch model.
        log_unreadable: Whether each image that is left out is logged.

    Returns:
        The images that could be read, in their order, and the others as `unreadable`.

    Raises:
        ImageDecodeError: `on_bad_image` is `"error"`, and an image cannot be read.
        DatasetError: It is `"skip"`, and more cannot be than may be left out; names them all.
        ModelFileError: The model's scores are not finite for some image; names the first.
    """
    from lt_data.torch import BadImages

    bad = BadImages(on_bad_image, len(samples), log=log_unreadable)
    if isinstance(model, EdgeClassifier):
        batches = _edge_batches(model, samples, batch_size, num_workers, bad)
    else:
        batches = _torch_batches(model, samples, batch_size, num_workers, bad)
    scores = np.empty((len(samples), len(model.task.classes)), dtype=np.float32)
    logits = np.empty_like(scores) if with_logits and not isinstance(model, EdgeClassifier) else None
    kept = np.zeros(len(samples), dtype=np.bool_)
    for indices, inputs in batches:
        kept[indices] = True
        if isinstance(model, EdgeClassifier) or logits is None:
            scores[indices] = model.run(inputs)
        else:
            found = model.logits(inputs)
            logits[indices], scores[indices] = found, model.probabilities(found)
        progress(int(indices[-1]) + 1, len(samples))
    progress(len(samples), len(samples))
    scored = ScoredSamples(task=model.task, samples=samples, scores=scores, logits=logits)
    if not kept.all():
        scored = _without_unreadable(scored, kept, bad)
    _check_finite(scored)
    return scored


def _check_finite(scored: ScoredSamples) -> None:
    found = scored.scores if scored.logits is None else scored.logits
    wrong = np.flatnonzero(~np.isfinite(found).all(axis=1))
    if len(wrong):
        raise ModelFileError(
            f"the model's scores are not finite for {len(wrong)} of {len(found)} images, the first of which is "
            f"{scored.samples.path(int(wrong[0]))}: its weights are damaged, or too large for this precision"
        )


def _without_unreadable(scored: ScoredSamples, kept: npt.NDArray[np.bool_], bad: BadImages) -> ScoredSamples:
    rows = np.flatnonzero(kept)
    reasons = {problem.where: problem.what for problem in bad.problems}
    return attrs.evolve(
        scored,
        samples=scored.samples.take(rows),
        scores=scored.scores[rows],
        unreadable=tuple(_problem(scored.samples, i, reasons) for i in np.flatnonzero(~kept).tolist()),
        logits=None if scored.logits is None else scored.logits[rows],
    )


def _problem(samples: SampleIndex, index: int, reasons: dict[str, str]) -> Problem:
    path = str(samples.path(index))
    return Problem(path, reasons.get(path, "cannot be read"))


def _torch_batches(
    model: ImageClassification,
    samples: SampleIndex,
    batch_size: int,
    num_workers: int,
    bad: BadImages,
) -> Iterator[tuple[Indices, Any]]:
    from lt_data.torch import Batches, EvalBatch, EvalDataset, eval_loader

    kind = model.device.type
    # Numbers take the place of labels: a batch is smaller where an image could not be read, and must tell whose it has.
    numbered = attrs.evolve(samples, labels=np.arange(len(samples), dtype=np.int32), label_ends=None)
    loader = eval_loader(
        EvalDataset(numbered, model.task.preprocessing),
        batch_size=batch_size,
        num_workers=min(num_workers, -(-len(samples) // batch_size)),
        pin_memory=kind == "cuda",
        give_way=kind == "cpu",
    ).loader
    batches: Batches[EvalBatch] = Batches(loader, bad)
    return ((batch.targets.numpy(), batch.images) for batch in batches)


def _edge_batches(
    model: EdgeClassifier, samples: SampleIndex, batch_size: int, num_workers: int, bad: BadImages
) -> Iterator[tuple[Indices, Any]]:
    def read(index: int) -> npt.NDArray[Any] | ImageDecodeError:
        try:
            return model.prepare(samples.image(index))
        except ImageDecodeError as error:
            return error

    pool = ThreadPoolExecutor(max(1, num_workers))
    try:
        reading = results_in_order(pool, read, range(len(samples)), AHEAD * batch_size)
        for indices, inputs in _in_batches(reading, batch_size, bad):
            yield np.asarray(indices, dtype=np.int64), inputs
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _in_batches(
    reading: Iterator[tuple[int, npt.NDArray[Any] | ImageDecodeError]], batch_size: int, bad: BadImages
) -> Iterator[tuple[Sequence[int], Sequence[npt.NDArray[Any]]]]:
    """What could be read, in batches; what could not be is recorded."""
    from lt_data.torch import Failure

    indices: list[int] = []
    inputs: list[npt.NDArray[Any]] = []
    for index, image in reading:
        if isinstance(image, ImageDecodeError):
            bad.record([Failure(str(image), image.path)])
            continue
        indices.append(index)
        inputs.append(image)
        if len(inputs) == batch_size:
            yield indices, inputs
            indices, inputs = [], []
    if inputs:
        yield indices, inputs
