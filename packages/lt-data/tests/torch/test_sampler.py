from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lt_data.torch import StreamSampler, sample_order


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
