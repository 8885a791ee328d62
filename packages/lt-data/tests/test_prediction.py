from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from lt_data import Calibration, Classes, PredictionArgumentError, Preprocessing, TaskSpec, select_labels


def task(kind: str, count: int, thresholds: tuple[float, ...] | None = None) -> TaskSpec:
    names = Classes(tuple(10 * k for k in range(count)), tuple(f"class {k}" for k in range(count)))
    return TaskSpec(
        task=kind,
        classes=names,
        preprocessing=Preprocessing(image_size=(8, 8)),
        calibration=Calibration(thresholds=thresholds),
    )


scores = st_numpy.arrays(np.float32, st.integers(1, 20), elements=st.floats(0, 1, width=32))


@given(scores, st.data())
def test_multiclass_gives_the_k_highest_scores_falling(values, data):
    topk = data.draw(st.integers(1, len(values)))
    result = select_labels(values, task("multiclass", len(values)), topk=topk, threshold=0.5)
    assert result["labels"].dtype == np.int64
    assert result["scores"].dtype == np.float32
    np.testing.assert_array_equal(result["scores"], np.sort(values)[::-1][:topk])
    np.testing.assert_array_equal(values[result["labels"] // 10], result["scores"])


@given(scores, st.floats(0.01, 0.99))
def test_multilabel_gives_every_score_above_the_threshold(values, threshold):
    result = select_labels(values, task("multilabel", len(values)), topk=1, threshold=threshold)
    likewise = select_labels(values, task("multilabel", len(values)), topk=len(values), threshold=threshold)
    np.testing.assert_array_equal(result["labels"], likewise["labels"], "topk changes nothing")
    assert sorted(result["labels"] // 10) == np.flatnonzero(values > threshold).tolist()
    assert (np.diff(result["scores"]) <= 0).all()


def test_ties_keep_the_order_of_the_outputs():
    values = np.array([0.1, 0.4, 0.4, 0.1], np.float32)
    assert select_labels(values, task("multiclass", 4), topk=4, threshold=0.5)["labels"].tolist() == [10, 20, 0, 30]


@pytest.mark.parametrize("topk", [0, 4, -1, True, 1.0])
def test_topk_outside_the_number_of_classes_is_refused_with_that_number(topk):
    with pytest.raises(PredictionArgumentError, match="1 to 3"):
        select_labels(np.zeros(3, np.float32), task("multiclass", 3), topk=topk, threshold=0.5)


@given(scores, st.data())
def test_auto_gives_every_score_above_the_threshold_of_its_class(values, data):
    thresholds = data.draw(
        st.lists(st.floats(1 / 128, 127 / 128, width=32), min_size=len(values), max_size=len(values))
    )
    spec = task("multilabel", len(values), tuple(thresholds))
    result = select_labels(values, spec, topk=1, threshold="auto")
    assert sorted(result["labels"] // 10) == [k for k, value in enumerate(values) if value > thresholds[k]]
    assert (np.diff(result["scores"]) <= 0).all()


def test_auto_is_refused_where_the_model_has_no_thresholds():
    with pytest.raises(PredictionArgumentError, match="calibrate"):
        select_labels(np.zeros(3, np.float32), task("multilabel", 3), topk=1, threshold="auto")


def test_auto_needs_no_thresholds_for_multiclass_which_has_none():
    values = np.array([0.2, 0.8], np.float32)
    assert select_labels(values, task("multiclass", 2), topk=1, threshold="auto")["labels"].tolist() == [10]


def test_numbers_of_numpy_are_numbers():
    values = np.array([0.1, 0.4, 0.2], np.float32)
    found = select_labels(values, task("multilabel", 3), topk=np.int64(1), threshold=np.float32(0.3))
    assert found["labels"].tolist() == [10]


@pytest.mark.parametrize("threshold", [0.0, 1.0, float("nan"), True, None, "best"])
def test_a_threshold_outside_0_and_1_is_refused(threshold):
    with pytest.raises(PredictionArgumentError, match="threshold"):
        select_labels(np.zeros(3, np.float32), task("multilabel", 3), topk=1, threshold=threshold)
