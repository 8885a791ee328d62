from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from lt_data import Classes, ConfigError, SampleIndex, structure
from lt_train import ModelArgs, TrainConfigError
from lt_train.class_weights import balanced_draws, class_weights

CLASSES = Classes((4, 7, 9), ("cat", "dog", "4x4"))


def samples(labels) -> SampleIndex:
    """Multiclass for numbers, multilabel for lists."""
    names = [f"{i}.png" for i in range(len(labels))]
    if all(isinstance(label, int) for label in labels):
        return SampleIndex.from_paths(Path("x"), names, np.array(labels, dtype=np.int32), num_classes=3)
    flat = np.array([label for row in labels for label in row], dtype=np.int32)
    ends = np.cumsum([len(row) for row in labels]).astype(np.int64)
    return SampleIndex.from_paths(Path("x"), names, flat, num_classes=3, label_ends=ends)


@given(st.lists(st.integers(0, 2), min_size=3, max_size=50).filter(lambda labels: len(set(labels)) == 3))
def test_balanced_weights_are_scikit_learns(labels):
    found = class_weights("balanced", "multiclass", CLASSES, samples(labels))
    expected = compute_class_weight("balanced", classes=np.arange(3), y=np.array(labels))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


def test_balanced_positives_weigh_as_much_as_their_negatives():
    train = samples([[0], [0, 1], [], [0]])
    found = class_weights("balanced", "multilabel", CLASSES, train).tolist()
    assert found == pytest.approx([1 / 3, 3.0, 1.0])  # no sample has the last class: nothing to balance


def test_weights_are_given_by_id_or_name_and_others_are_1():
    train = samples([0, 1, 2])
    assert class_weights({9: 3.0, "dog": 0.5}, "multiclass", CLASSES, train).tolist() == [1.0, 0.5, 3.0]
    assert class_weights(None, "multiclass", CLASSES, train) is None


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"bird": 2.0}, r"'bird' is neither an ID nor a name; there are 4 \(cat\)"),
        ({"cta": 2.0}, r"'cta' is neither an ID nor a name; did you mean 'cat'\?"),
        ({4: 1.0, "cat": 2.0}, "same class"),
    ],
)
def test_weights_of_no_class_or_twice_of_one_are_refused(weights, message):
    with pytest.raises(TrainConfigError, match=message):
        class_weights(weights, "multiclass", CLASSES, samples([0, 1, 2]))


@pytest.mark.parametrize("key", [1, "1"])
def test_a_key_that_is_the_name_of_one_class_and_the_id_of_another_is_refused(key):
    classes = Classes((1, 5, 7), ("cat", "1", "7"))
    message = r"'1' is the name of class 5 and the ID of 'cat'; give '5' or 'cat'"
    with pytest.raises(TrainConfigError, match=message):
        class_weights({key: 5.0}, "multiclass", classes, samples([0, 1, 2]))
    found = class_weights({"5": 2.0, "cat": 3.0, 7: 4.0}, "multiclass", classes, samples([0, 1, 2]))
    assert found.tolist() == [3.0, 2.0, 4.0]


def test_samples_are_drawn_as_often_as_their_rarest_class_asks():
    assert balanced_draws(samples([0, 0, 0, 1]), 3).tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1.0])
    draws = balanced_draws(samples([[0], [0, 1], [], [0]]), 3)
    assert draws[1] == pytest.approx(1.0)
    assert draws[0] == draws[3] == draws[2] == pytest.approx(1 / 3)


@pytest.mark.parametrize("weight", [0.0, -1.0, 1e-300, 1e300, float("inf"), float("nan")])
def test_a_weight_that_a_loss_in_float32_cannot_bear_is_refused_with_its_class(weight):
    with pytest.raises(ConfigError, match=r"class_weights +weights must be above 0 and finite, .*wrong for 'cat'"):
        structure({"class_weights": {"cat": weight, "dog": 2.0}}, ModelArgs, "model_args")
