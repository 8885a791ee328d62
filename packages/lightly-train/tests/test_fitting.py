from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from scipy.optimize import minimize_scalar
from sklearn.metrics import f1_score
from sklearn.metrics import log_loss as sklearn_log_loss

from lightly_train.fitting import RANGE, fit_temperature, fit_thresholds, log_loss


def multiclass(seed: int, count: int, classes: int, scale: float):
    """Logits of a model that is right where it is sure by a factor of `scale` too much, and the truth."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(0, 2, (count, classes))
    powers = np.exp(honest)
    truth = np.array([rng.choice(classes, p=row) for row in powers / powers.sum(axis=1, keepdims=True)])
    return (honest * scale).astype(np.float32), truth


def multilabel(seed: int, count: int, classes: int, scale: float):
    rng = np.random.default_rng(seed)
    honest = rng.normal(0, 2, (count, classes))
    return (honest * scale).astype(np.float32), rng.random((count, classes)) < 1 / (1 + np.exp(-honest))


@pytest.mark.parametrize("make", [multiclass, multilabel])
@pytest.mark.parametrize("scale", [0.2, 1.0, 5.0])
def test_a_model_that_is_too_sure_by_a_factor_gets_that_factor_as_temperature(make, scale):
    assert fit_temperature(*make(0, 6000, 5, scale)) == pytest.approx(scale, rel=0.05)


@pytest.mark.parametrize("make", [multiclass, multilabel])
def test_no_other_temperature_has_a_lower_log_loss_on_many_images(make):
    logits, truth = make(1, 5000, 4, 3.0)
    found = minimize_scalar(
        lambda log: log_loss(logits, truth, np.exp(log)), bounds=(-3, 3), method="bounded", options={"xatol": 1e-8}
    )
    # Platt's further images move it, by less the more there are.
    assert fit_temperature(logits, truth) == pytest.approx(np.exp(found.x), rel=2e-3)


@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(2, 6), st.floats(1.0, 20))
def test_log_losses_are_those_of_scikit_learn(seed, count, classes, temperature):
    logits, truth = multiclass(seed, count, classes, 1.0)
    scaled = logits.astype(np.float64) / temperature
    scores = np.exp(scaled) / np.exp(scaled).sum(axis=1, keepdims=True)
    expected = sklearn_log_loss(truth, scores, labels=range(classes))
    assert log_loss(logits, truth, temperature) == pytest.approx(expected, rel=1e-6, abs=1e-9)
    logits, truth = multilabel(seed, count, classes, 1.0)
    scores = 1 / (1 + np.exp(-logits.astype(np.float64) / temperature))
    expected = sklearn_log_loss(truth.ravel(), scores.ravel(), labels=[False, True])
    assert log_loss(logits, truth, temperature) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("kind", [multiclass, multilabel])
def test_a_model_that_never_errs_does_not_become_sure_beyond_what_the_images_show(kind):
    truth = np.arange(50) % 3 if kind is multiclass else np.eye(3, dtype=bool)[np.arange(50) % 3]
    logits = (np.eye(3)[np.arange(50) % 3] * 2 - 1).astype(np.float32) * 4
    temperature = fit_temperature(logits, truth)
    if kind is multiclass:
        sure, expected = 1 / (1 + 2 * np.exp(-8 / temperature)), 51 / 52
    else:
        # 50 decisions for a class and 100 against one, all as sure as each other.
        sure, expected = 1 / (1 + np.exp(-4 / temperature)), (50 * 51 / 52 + 100 * 101 / 102) / 150
    assert sure == pytest.approx(expected, abs=1e-5)


def test_a_temperature_stays_in_its_range_whatever_the_logits_are():
    truth = np.array([0, 1])
    for logits in ([[1e-6, 0], [0, 1e-6]], [[0, 1e6], [1e6, 0]], [[0, 0], [0, 0]]):
        assert 1 / RANGE <= fit_temperature(np.array(logits, np.float32), truth) <= RANGE


columns = st.integers(1, 30).flatmap(
    lambda count: st.tuples(
        st_numpy.arrays(np.float32, count, elements=st.floats(0.0, 1.0, width=32, allow_subnormal=False)),
        st_numpy.arrays(np.bool_, count),
    )
)


@given(columns)
def test_no_other_threshold_has_a_greater_f1(column):
    scores, present = column
    (threshold,) = fit_thresholds(scores[:, None], present[:, None])
    assert 0.0 < threshold < 1.0
    assert float(np.float32(threshold)) == threshold
    if not present.any():
        assert threshold == 0.5
        return
    others = [0.5, *(np.nextafter(np.float32(score), np.float32(0.0)) for score in scores if score > 0)]
    found = f1_score(present, scores > np.float32(threshold), zero_division=0.0)
    assert found == pytest.approx(max(f1_score(present, scores > other, zero_division=0.0) for other in others))


def test_a_threshold_lies_in_the_middle_between_two_scores():
    scores = np.array([[0.9], [0.7], [0.3], [0.1]], np.float32)
    (threshold,) = fit_thresholds(scores, np.array([[True], [True], [False], [False]]))
    assert threshold == pytest.approx(0.5)
    (threshold,) = fit_thresholds(scores, np.array([[True], [False], [False], [False]]))
    assert threshold == pytest.approx(0.8)


def test_of_thresholds_with_the_same_f1_the_one_nearest_to_a_half_is_taken():
    # Above 0.75: 1 of 2 found, F1 2/3; above 0.15: 2 of 2 and 2 too many, F1 2/3.
    scores = np.array([[0.9], [0.6], [0.55], [0.2], [0.1]], np.float32)
    present = np.array([[True], [False], [False], [True], [False]])
    (threshold,) = fit_thresholds(scores, present)
    assert threshold == pytest.approx(0.75)


def test_a_class_that_no_image_has_keeps_a_half():
    assert fit_thresholds(np.array([[0.9], [0.2]], np.float32), np.zeros((2, 1), bool)) == (0.5,)
