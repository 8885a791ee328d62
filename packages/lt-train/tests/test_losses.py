from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lt_train.losses import binary_cross_entropy, cross_entropy, scores_of

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
    found = cross_entropy(logits, torch.from_numpy(targets), smoothing)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), -(wanted * log_softmax).sum(axis=1), rtol=1e-5, atol=1e-5)


@given(st.integers(0, 1000), smoothings)
def test_binary_cross_entropy_smooths_each_class_by_itself(seed, smoothing):
    logits, numbers = drawn(seed)
    targets = np.random.default_rng(seed + 1).integers(0, 2, (6, 4))
    probability = 1 / (1 + np.exp(-numbers))
    wanted = np.where(targets, 1 - smoothing / 2, smoothing / 2)
    expected = -(wanted * np.log(probability) + (1 - wanted) * np.log(1 - probability)).mean(axis=1)
    found = binary_cross_entropy(logits, torch.from_numpy(targets.astype(np.float32)), smoothing)
    assert found.shape == (6,)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-5)


def test_losses_of_logits_far_out_are_finite():
    far = torch.tensor([[1e4, -1e4]])
    assert binary_cross_entropy(far, torch.tensor([[0.0, 1.0]])).item() == pytest.approx(1e4)
    assert cross_entropy(far, torch.tensor([1])).item() == pytest.approx(2e4)


def test_scores_add_up_for_multiclass_and_stand_alone_for_multilabel():
    logits = torch.tensor([[0.0, 0.0, 0.0]], dtype=torch.bfloat16)
    assert scores_of(logits, "multiclass").tolist() == [[pytest.approx(1 / 3)] * 3]
    assert scores_of(logits, "multilabel").tolist() == [[0.5] * 3]
