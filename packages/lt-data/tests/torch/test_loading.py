from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from PIL import Image

from lt_data import ImageDecodeError, Preprocessing, SampleIndex, TransformConfig, load_image, preprocess
from lt_data.torch import (
    Augmentation,
    EvalDataset,
    SampleKey,
    StreamSampler,
    TrainDataset,
    eval_loader,
    sample_order,
    train_loader,
)

SPEC = Preprocessing(image_size=(16, 16))


@pytest.fixture
def samples(tmp_path) -> SampleIndex:
    rng = np.random.default_rng(0)
    for i in range(10):
        pixels = rng.integers(0, 256, (12 + i, 30 - i, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    labels = np.arange(10, dtype=np.int32) % 3
    return SampleIndex.from_paths(tmp_path, [f"{i}.png" for i in range(10)], labels, num_classes=3)


def train_batches(samples, *, num_workers: int, start: int = 0):
    dataset = TrainDataset(samples, Augmentation.from_config(TransformConfig(), SPEC), seed=3)
    sampler = StreamSampler(num_samples=10, batch_size=4, start=start, stop=8, seed=3)
    return list(train_loader(dataset, sampler, num_workers=num_workers, pin_memory=False))


def assert_same(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_batches_are_the_same_for_any_number_of_workers(samples):
    expected = train_batches(samples, num_workers=0)
    assert_same(train_batches(samples, num_workers=1), expected)
    assert_same(train_batches(samples, num_workers=2), expected)


def test_batches_from_a_later_start_are_the_same(samples):
    assert_same(train_batches(samples, num_workers=0, start=5), train_batches(samples, num_workers=0)[5:])


def test_a_sample_looks_different_in_each_epoch_and_keeps_its_label(samples):
    dataset = TrainDataset(samples, Augmentation.from_config(TransformConfig(), SPEC), seed=3)
    first, second = dataset[SampleKey(0, 4)], dataset[SampleKey(1, 4)]
    assert not torch.equal(first.images, second.images)
    assert int(first.targets) == int(second.targets) == 1
    assert first.images.dtype == torch.uint8
    assert first.images.shape == (3, 16, 16)


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("world_size", [1, 3])
def test_evaluation_sees_each_sample_once_over_all_ranks_as_predict_does(samples, num_workers, world_size):
    seen = {}
    for rank in range(world_size):
        loader = eval_loader(
            EvalDataset(samples, SPEC),
            batch_size=3,
            num_workers=num_workers,
            pin_memory=False,
            rank=rank,
            world_size=world_size,
        )
        indices = iter(range(rank, 10, world_size))
        for images, targets in loader:
            for image, target in zip(images, targets, strict=True):
                seen[next(indices)] = (image.numpy(), int(target))
    assert sorted(seen) == list(range(10))
    for i, (image, target) in seen.items():
        np.testing.assert_array_equal(image, preprocess(load_image(samples.path(i)), SPEC))
        assert target == i % 3


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_broken_file_is_named_by_the_error_that_leaves_the_loader(samples, num_workers):
    samples.path(7).write_bytes(b"broken")
    with pytest.raises(ImageDecodeError) as caught:
        train_batches(samples, num_workers=num_workers)
    assert caught.value.path == samples.path(7)
    assert "7.png: is none of the image formats" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_multilabel_targets_are_zeros_and_ones_and_negatives_all_zeros(samples, num_workers):
    labels = [[0, 2], [], [1], [0, 1, 2], []]
    flat = np.array([label for each in labels for label in each], dtype=np.int32)
    ends = np.cumsum([len(each) for each in labels])
    several = SampleIndex.from_paths(samples.root, [f"{i}.png" for i in range(5)], flat, num_classes=3, label_ends=ends)
    expected = torch.tensor([[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1], [0, 0, 0]], dtype=torch.float32)
    loader = eval_loader(EvalDataset(several, SPEC), batch_size=5, num_workers=num_workers)
    (batch,) = loader
    torch.testing.assert_close(batch.targets, expected, rtol=0, atol=0)
    dataset = TrainDataset(several, Augmentation.from_config(TransformConfig(), SPEC), seed=3)
    sampler = StreamSampler(num_samples=5, batch_size=5, start=0, stop=1, seed=3)
    (trained,) = train_loader(dataset, sampler, num_workers=num_workers, pin_memory=False)
    order = sample_order(5, seed=3, epoch=0)
    torch.testing.assert_close(trained.targets, expected[torch.from_numpy(order)], rtol=0, atol=0)


class Priorities:
    """Samples that tell how nice the process is that loads them."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, key: SampleKey) -> int:
        return os.getpriority(os.PRIO_PROCESS, 0)

    def substitute(self, key: SampleKey, attempt: int) -> SampleKey:
        return key


@pytest.mark.skipif(not hasattr(os, "nice"), reason="only POSIX has priorities of this kind")
def test_loaders_processes_give_way_only_where_they_are_asked_to():
    def priority(**settings: bool) -> int:
        (batch,) = train_loader(Priorities(), [[SampleKey(0, 0)]], num_workers=1, pin_memory=False, **settings)
        return int(batch)

    assert priority() == os.getpriority(os.PRIO_PROCESS, 0)
    assert priority(give_way=True) == 19
