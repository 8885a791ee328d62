from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lt_train.mixing import Mixing

KINDS = {"mixup": Mixing(0.8, 0.0, 0), "cutmix": Mixing(0.0, 1.0, 0), "both": Mixing(0.8, 1.0, 0)}


def mixed(mixing: Mixing, count: int, *, step: int = 0, part: int = 0, first: int = 0):
    """Images that are one number each, and classes to tell them apart; mixed."""
    images = torch.arange(first, first + count).float()[:, None, None, None].expand(count, 3, 12, 16).clone()
    classes = torch.arange(first, first + count)
    return mixing(images, classes, num_classes=100, step=step, part=part, first=first)


@pytest.mark.parametrize("kind", KINDS)
@given(st.integers(0, 9), st.integers(0, 50))
def test_neighbours_are_mixed_and_targets_say_exactly_how_much_of_each_there_is(kind, count, step):
    images, shares = mixed(KINDS[kind], count, step=step)
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(count))
    torch.testing.assert_close(images.mean(dim=(1, 2, 3)), shares @ torch.arange(100).float())
    for sample in range(count):
        partner = sample ^ 1
        others = set(shares[sample].nonzero().flatten().tolist()) - {sample}
        assert others <= ({partner} if partner < count else set())
        assert shares[sample, sample] >= 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_mix_as_one_does_and_another_step_mixes_otherwise(kind):
    whole = mixed(KINDS[kind], 8, step=3)
    halves = [mixed(KINDS[kind], 4, step=3, first=first) for first in (0, 4)]
    for together, parts in zip(whole, zip(*halves, strict=True), strict=True):
        torch.testing.assert_close(torch.cat(parts), together, rtol=0, atol=0)
    assert not torch.equal(whole[1], mixed(KINDS[kind], 8, step=4)[1])
    assert not torch.equal(whole[1], mixed(KINDS[kind], 8, step=3, part=1)[1])


def test_cutmix_puts_whole_pixels_of_one_image_into_the_other():
    images, _ = mixed(KINDS["cutmix"], 2)
    assert set(images.flatten().tolist()) <= {0.0, 1.0}
    assert 0.0 < images[1].mean() < 1.0


def test_labels_of_both_images_are_kept_for_multilabel():
    labels = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    _, shares = KINDS["mixup"](torch.zeros(2, 3, 4, 4), labels, num_classes=3, step=0, part=0, first=0)
    assert shares[:, 2].tolist() == [1.0, 1.0]
    assert shares[0, 0] + shares[1, 0] == pytest.approx(1.0)
    assert 0.5 <= shares[0, 0] < 1.0


def test_nothing_is_mixed_unless_asked():
    assert not Mixing(0.0, 0.0, 0)
    assert all(KINDS.values())


def test_cutmix_takes_the_area_that_was_drawn():
    # With alpha 1 the area is uniform: an image keeps 3/4 of itself in the mean, as each keeps the larger part.
    images, labels = torch.zeros(400, 1, 32, 32), torch.zeros(400, dtype=torch.int64)
    labels[::2] = 1
    _, shares = KINDS["cutmix"](images, labels, num_classes=2, step=0, part=0, first=0)
    assert shares.max(dim=1).values.mean() == pytest.approx(0.75, abs=0.03)
