from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support, top_k_accuracy_score

from lt_train.metrics.multiclass import MulticlassCounts


@st.composite
def scored_samples(draw):
    num_classes = draw(st.integers(2, 8))
    count = draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    scores = rng.random((count, num_classes)).astype(np.float32)
    if draw(st.booleans()):
        scores = scores.round(1)  # ties
    return scores, rng.integers(0, draw(st.integers(1, num_classes)), count)


def counted(scores, targets) -> dict[str, float]:
    counts = MulticlassCounts(scores.shape[1])
    counts.update(scores, targets)
    return counts.compute()


@given(scored_samples())
def test_averages_over_classes_equal_scikit_learns_over_the_classes_that_have_samples(samples):
    scores, targets = samples
    present = np.unique(targets)
    precision, recall, f1, _ = precision_recall_fscore_support(
        targets, scores.argmax(axis=1), labels=present, average="macro", zero_division=0
    )
    metrics = counted(scores, targets)
    assert metrics["precision_macro"] == pytest.approx(precision, abs=1e-6)
    assert metrics["recall_macro"] == pytest.approx(recall, abs=1e-6)
    assert metrics["f1_macro"] == pytest.approx(f1, abs=1e-6)


@given(scored_samples())
def test_accuracies_equal_scikit_learns_where_no_scores_tie(samples):
    scores, targets = samples
    scores = scores + np.arange(scores.shape[1], dtype=np.float32)[::-1] * 1e-4  # ties fall in output order
    labels = np.arange(scores.shape[1])
    metrics = counted(scores, targets)
    if len(labels) == 2:
        expected = (scores.argmax(axis=1) == targets).mean()
    else:
        expected = top_k_accuracy_score(targets, scores, k=1, labels=labels)
    assert metrics["top1_acc_micro"] == pytest.approx(expected, abs=1e-6)
    assert ("top5_acc_micro" in metrics) == (len(labels) > 5)
    if len(labels) > 5:
        top5 = top_k_accuracy_score(targets, scores, k=5, labels=labels)
        assert metrics["top5_acc_micro"] == pytest.approx(top5, abs=1e-6)


@given(scored_samples(), st.integers(1, 5))
def test_counting_in_parts_and_adding_up_gives_exactly_the_same(samples, parts):
    scores, targets = samples
    whole = MulticlassCounts(scores.shape[1])
    whole.update(scores, targets)
    pieces = [MulticlassCounts(scores.shape[1]) for _ in range(parts)]
    for piece, some, labels in zip(pieces, np.array_split(scores, parts), np.array_split(targets, parts), strict=True):
        piece.update(some, labels)
    arrays: list[np.ndarray] = []
    for piece in pieces:
        piece.reduce(lambda array: arrays.append(array) or array)
    pieces[0].reduce(lambda _: np.sum(arrays, axis=0))
    assert pieces[0].compute() == whole.compute()


def test_a_tie_goes_to_the_earlier_class_as_in_predict():
    tied = np.array([[0.5, 0.5, 0.0]], np.float32)
    assert counted(tied, np.array([0]))["top1_acc_micro"] == 1.0
    assert counted(tied, np.array([1]))["top1_acc_micro"] == 0.0


def test_nothing_counted_gives_zeros_not_nan():
    assert set(MulticlassCounts(3).compute().values()) == {0.0}
