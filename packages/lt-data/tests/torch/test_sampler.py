from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lt_data.torch import StreamSampler, sample_order
from lt_data.torch.sampler import drawn_order, times_before


def batches(**changes):
    settings = {"num_samples": 10, "batch_size": 4, "start": 0, "stop": 12, "seed": 0, **changes}
    return list(StreamSampler(**settings))


@given(num_samples=st.integers(1, 50), seed=st.integers(0, 2**32), epoch=st.integers(0, 1000))
def test_an_epoch_is_a_permutation_that_depends_on_seed_and_epoch_only(num_samples, seed, epoch):
    order = sample_order(num_samples, seed=seed, epoch=epoch)
    assert sorted(order) == list(range(num_samples))
    np.testing.assert_array_equal(order, sample_order(num_samples, seed=seed, epoch=epoch))


def test_epochs_and_seeds_differ():
    orders = {tuple(sample_order(20, seed=seed, epoch=epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


@given(num_samples=st.integers(1, 30), batch_size=st.integers(1, 40))
def test_every_sample_is_seen_exactly_once_an_epoch(num_samples, batch_size):
    stop = -(-3 * num_samples // batch_size)
    keys = Counter(key for batch in batches(num_samples=num_samples, batch_size=batch_size, stop=stop) for key in batch)
    assert all(count == 1 for count in keys.values())
    assert {key.sample for key in keys if key.epoch == 2} == set(range(num_samples))


@given(start=st.integers(0, 12))
def test_a_stream_that_starts_later_goes_on_with_the_same_batches(start):
    assert batches(start=start) == batches()[start:]


@given(world_size=st.sampled_from([1, 2, 4]))
def test_the_ranks_together_see_the_batches_of_one_process(world_size):
    parts = [batches(rank=rank, world_size=world_size) for rank in range(world_size)]
    assert [sum(together, []) for together in zip(*parts, strict=True)] == batches()


@given(st.integers(1, 200), st.integers(0, 5), st.integers(0, 2**32))
def test_samples_are_drawn_by_weight_as_evenly_as_whole_numbers_allow(num_samples, epoch, seed):
    draws = np.random.default_rng(seed).uniform(0.01, 3.0, num_samples)
    order = drawn_order(draws, seed=seed, epoch=epoch)
    assert len(order) == num_samples
    expected = num_samples * draws / draws.sum()
    often = np.bincount(order, minlength=num_samples)
    assert (np.abs(often - expected) < 1 + 1e-6).all()
    assert (drawn_order(draws, seed=seed, epoch=epoch) == order).all()


def test_classes_drawn_by_their_rarity_come_alike():
    labels = np.repeat([0, 1, 2], [900, 90, 10])
    draws = 1.0 / np.bincount(labels)[labels]
    counts = np.bincount(labels[drawn_order(draws, seed=0, epoch=0)])
    assert counts.tolist() == pytest.approx([333, 333, 333], abs=2)


@given(st.lists(st.integers(0, 5), max_size=40))
def test_each_draw_knows_how_often_its_sample_was_drawn_before(order):
    expected = [order[:place].count(value) for place, value in enumerate(order)]
    assert times_before(np.array(order, dtype=np.int64)).tolist() == expected


def test_a_weighted_stream_is_the_same_from_any_start_and_over_any_ranks():
    draws = np.array([1.0, 1.0, 5.0, 9.0, 0.5])
    common = {"num_samples": 5, "batch_size": 4, "stop": 9, "seed": 3, "draws": draws}
    whole = list(StreamSampler(start=0, **common))
    assert list(StreamSampler(start=4, **common)) == whole[4:]
    shares = [list(StreamSampler(start=0, rank=rank, world_size=2, **common)) for rank in range(2)]
    assert [left + right for left, right in zip(*shares, strict=True)] == whole
    keys = [key for batch in whole for key in batch]
    assert len(set(keys)) == len(keys), "the same sample in one epoch is augmented anew each time"
    assert any(key.repeat > 0 for key in keys)
