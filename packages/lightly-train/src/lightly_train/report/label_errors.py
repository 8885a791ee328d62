"""Labels that the model has reason to doubt."""

from __future__ import annotations

import attrs
import numpy as np
import numpy.typing as npt

from lightly_train.scored import ScoredSamples

Scores = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@attrs.frozen
class LabelError:
    """A label that may be wrong.

    Attributes:
        sample: Index of the image.
        given: Class index of the label in doubt; None where a label may be missing.
        suggested: Class index of the label that fits better; None where there should be none in its place.
        margin: Score of what is suggested less that of what is given, in (0, 1]; larger is more certain.
    """

    sample: int
    given: int | None
    suggested: int | None
    margin: float


def likely_label_errors(scored: ScoredSamples, limit: int) -> tuple[list[LabelError], int]:
    """The labels that fit least, the most certain first, and how many there are in all.

    Multilabel decides about each class by itself, whether an image has it or not.
    """
    found, total = _multiclass(scored, limit) if scored.task.task == "multiclass" else _multilabel(scored, limit)
    # By sample where margins are equal, so that a report is the same each time.
    return sorted(found, key=lambda error: (-error.margin, error.sample))[:limit], total


def doubted(scores: Scores, labels: Ints) -> tuple[Ints, Ints]:
    """Samples whose label does not reach its class's threshold while another class reaches its own and scores higher.

    The threshold of a class is the mean score that the samples labelled with it give it: Northcutt, Jiang, Chuang:
    Confident Learning, JAIR 2021, equation 2. Their confident joint (equation 1) has such samples off its diagonal, in
    the column of the class that scores highest among those that reach their threshold. It has there also others, which
    are left out here: those whose own class reaches its threshold too, and those of which the label still scores at
    least as much as that class, as where the label's class is well known and the other is rare.

    Args:
        scores: Probabilities by models that did not train on the samples, of shape (N, classes).
        labels: Class index of each sample, of shape (N,).

    Returns:
        Indices of the samples, of shape (K,), rising, and the class that each fits better, of shape (K,).
    """
    num_classes = scores.shape[1]
    support = np.bincount(labels, minlength=num_classes)
    own = np.take_along_axis(scores, labels[:, np.newaxis], axis=1)[:, 0].astype(np.float64)
    total = np.bincount(labels, weights=own, minlength=num_classes)
    # A class without samples has no threshold, and is never suggested.
    thresholds = np.where(support > 0, total / np.maximum(support, 1), np.inf)
    reached = np.where(scores >= thresholds, scores, -np.inf)
    best = reached.argmax(axis=1)
    higher = reached[np.arange(len(scores)), best] > own
    samples = np.flatnonzero((own < thresholds[labels]) & higher)
    return samples, best[samples]


def _multiclass(scored: ScoredSamples, limit: int) -> tuple[list[LabelError], int]:
    labels = scored.truth.astype(np.int64)
    samples, suggested = doubted(scored.scores, labels)
    given = labels[samples]
    margins = scored.scores[samples, suggested] - scored.scores[samples, given]
    found = [
        LabelError(int(samples[i]), int(given[i]), int(suggested[i]), float(margins[i]))
        for i in _largest(margins, limit)
    ]
    return found, len(samples)


def _multilabel(scored: ScoredSamples, limit: int) -> tuple[list[LabelError], int]:
    """Of each class only so many as may be among the first of all, since there can be millions."""
    found: list[LabelError] = []
    truth, total = scored.truth.astype(np.int64), 0
    for index in range(len(scored.task.classes)):
        score = scored.scores[:, index]
        samples, suggested = doubted(np.stack([1 - score, score], axis=1), truth[:, index])
        margins = np.where(suggested == 1, 2 * score[samples] - 1, 1 - 2 * score[samples])
        total += len(samples)
        for i in _largest(margins, limit):
            given, fits = (None, index) if suggested[i] else (index, None)
            found.append(LabelError(int(samples[i]), given, fits, float(margins[i])))
    return found, total


def _largest(values: Scores, limit: int) -> list[int]:
    order: list[int] = np.argsort(-values, kind="stable")[:limit].tolist()
    return order
