from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lt_train import ModelArgs, TrainConfigError
from lt_train.losses import (
    asymmetric_loss,
    binary_cross_entropy,
    cross_entropy,
    focal_loss,
    make_loss,
    scores_of,
)

smoothings = st.floats(0.0, 0.9)


def drawn(seed: int) -> tuple[torch.Tensor, np.ndarray]:
    logits = torch.from_numpy(np.random.default_rng(seed).normal(0, 3, (6, 4)))
    return logits, logits.numpy()


@given(st.integers(0, 1000), smoothings)
def test_cross_entropy_spreads_the_smoothed_share_over_all_classes(seed, smoothing):
    logits, numbers = drawn(seed)
    targets = np.random.default_rng(seed + 1).integers(0, 4, 6)
    log_softmax = numbers - np.log(np.exp(numbers).sum(axis=1, keepdims=True))
    wanted = np.full((6, 4), smoothing / 4)
    wanted[np.arange(6), targets] += 1 - smoothing
    found = cross_entropy(logits, torch.from_numpy(targets), label_smoothing=smoothing)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), -(wanted * log_softmax).sum(axis=1), rtol=1e-5, atol=1e-5)


@given(st.integers(0, 1000), smoothings)
def test_binary_cross_entropy_smooths_each_class_by_itself(seed, smoothing):
    logits, numbers = drawn(seed)
    targets = np.random.default_rng(seed + 1).integers(0, 2, (6, 4))
    probability = 1 / (1 + np.exp(-numbers))
    wanted = np.where(targets, 1 - smoothing / 2, smoothing / 2)
    expected = -(wanted * np.log(probability) + (1 - wanted) * np.log(1 - probability)).mean(axis=1)
    found = binary_cross_entropy(logits, torch.from_numpy(targets.astype(np.float32)), label_smoothing=smoothing)
    assert found.shape == (6,)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-5)


@given(st.integers(0, 1000), smoothings, st.floats(0.0, 4.0), st.booleans())
def test_the_focal_loss_weighs_each_part_by_what_is_missing(seed, smoothing, gamma, soft):
    logits, numbers = drawn(seed)
    rng = np.random.default_rng(seed + 1)
    targets = rng.integers(0, 4, 6)
    shares = rng.dirichlet(np.ones(4), 6) if soft else np.eye(4)[targets]
    weights = np.array([0.5, 1.0, 2.0, 4.0])
    smooth = shares * (1 - smoothing) + smoothing / 4
    p = np.exp(numbers) / np.exp(numbers).sum(axis=1, keepdims=True)
    expected = -(smooth * (1 - p) ** gamma * np.log(p)).sum(axis=1) * (shares @ weights)
    given_targets = torch.from_numpy(shares.astype(np.float32) if soft else targets)
    found = focal_loss(
        logits, given_targets, gamma=gamma, label_smoothing=smoothing, weights=torch.from_numpy(weights).float()
    )
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-5)


@given(st.integers(0, 1000), smoothings, st.booleans())
def test_without_focus_the_focal_and_the_asymmetric_loss_are_cross_entropies(seed, smoothing, weighted):
    logits, _ = drawn(seed)
    rng = np.random.default_rng(seed + 1)
    classes, labels = torch.from_numpy(rng.integers(0, 4, 6)), torch.from_numpy(rng.random((6, 4)).astype(np.float32))
    weights = torch.from_numpy(rng.uniform(0.5, 2, 4)).float() if weighted else None
    common = {"label_smoothing": smoothing, "weights": weights}
    torch.testing.assert_close(
        focal_loss(logits, classes, gamma=0.0, **common), cross_entropy(logits, classes, **common)
    )
    found = asymmetric_loss(logits, labels, gammas=(0.0, 0.0), margin=0.0, **common)
    torch.testing.assert_close(found, binary_cross_entropy(logits, labels, **common), rtol=1e-4, atol=1e-5)


def test_the_asymmetric_loss_forgets_negatives_below_its_margin_and_weakens_the_others():
    absent = torch.zeros(1, 1)
    p = torch.tensor([[0.04], [0.3]])
    below, above = asymmetric_loss(p.logit(), absent.expand(2, 1), gammas=(0.0, 4.0), margin=0.05).tolist()
    assert below == pytest.approx(0.0, abs=1e-12)
    assert above == pytest.approx(-(0.25**4) * np.log(0.75), rel=1e-5)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_losses_of_perfect_and_hopeless_logits_have_finite_gradients(gamma):
    for loss in (
        lambda x: focal_loss(x, torch.tensor([0, 1]), gamma=gamma),
        lambda x: asymmetric_loss(x, torch.eye(2), gammas=(gamma, gamma), margin=0.0),
        lambda x: asymmetric_loss(x, torch.eye(2), gammas=(gamma, gamma), margin=0.05),
    ):
        for size in (0.0, 60.0, -60.0, 1000.0):
            logits = torch.tensor([[size, -size], [-size, size]], requires_grad=True)
            losses = loss(logits)
            losses.sum().backward()
            assert torch.isfinite(losses).all()
            assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize(
    ("task", "loss"), [("multiclass", "bce"), ("multiclass", "asymmetric"), ("multilabel", "cross_entropy")]
)
def test_a_loss_of_the_other_task_is_refused_with_those_that_there_are(task, loss):
    with pytest.raises(TrainConfigError, match=rf"model_args\.loss: '{loss}'.*use"):
        make_loss(ModelArgs(loss=loss), task, None)


def test_losses_of_logits_far_out_are_finite():
    far = torch.tensor([[1e4, -1e4]])
    assert binary_cross_entropy(far, torch.tensor([[0.0, 1.0]])).item() == pytest.approx(1e4)
    assert cross_entropy(far, torch.tensor([1])).item() == pytest.approx(2e4)


def test_scores_add_up_for_multiclass_and_stand_alone_for_multilabel():
    logits = torch.tensor([[0.0, 0.0, 0.0]], dtype=torch.bfloat16)
    assert scores_of(logits, "multiclass").tolist() == [[pytest.approx(1 / 3)] * 3]
    assert scores_of(logits, "multilabel").tolist() == [[0.5] * 3]
