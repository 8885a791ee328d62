from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from PIL import Image

from lt_data import DatasetError, ImageDecodeError, Preprocessing, SampleIndex, TransformConfig
from lt_data.torch import (
    Augmentation,
    EvalDataset,
    SampleKey,
    StreamSampler,
    TrainDataset,
    eval_loader,
    most_bad_images,
    train_loader,
)

SPEC = Preprocessing(image_size=(8, 8))
COUNT = 200


@pytest.fixture
def samples(tmp_path) -> SampleIndex:
    rng = np.random.default_rng(0)
    for i in range(COUNT):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    labels = np.arange(COUNT, dtype=np.int32) % 2
    return SampleIndex.from_paths(tmp_path, [f"{i}.png" for i in range(COUNT)], labels, num_classes=2)


def break_files(samples: SampleIndex, *which: int) -> None:
    for i in which:
        content = samples.path(i).read_bytes()
        samples.path(i).write_bytes(content[: len(content) // 2])


def training(samples, *, num_workers=0, policy="skip", epochs=2):
    dataset = TrainDataset(samples, Augmentation.from_config(TransformConfig(), SPEC), seed=3)
    sampler = StreamSampler(num_samples=COUNT, batch_size=20, start=0, stop=10 * epochs, seed=3)
    return train_loader(dataset, sampler, num_workers=num_workers, pin_memory=False, on_bad_image=policy)


def evaluation(samples, *, num_workers=0, policy="skip", batch_size=7):
    dataset = EvalDataset(samples, SPEC)
    return eval_loader(dataset, batch_size=batch_size, num_workers=num_workers, pin_memory=False, on_bad_image=policy)


def test_another_sample_takes_the_place_of_a_bad_one_for_any_number_of_workers(samples):
    break_files(samples, 11, 57)
    expected = list(training(samples))
    assert all(len(batch.images) == 20 for batch in expected)
    for num_workers in (1, 2):
        for one, other in zip(training(samples, num_workers=num_workers), expected, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_each_bad_sample_has_substitutes_of_its_own_and_other_ones_in_other_epochs(samples):
    dataset = TrainDataset(samples, Augmentation.from_config(TransformConfig(), SPEC), seed=3)
    keys = [SampleKey(epoch, sample) for epoch in range(3) for sample in range(20)]
    chosen = [dataset.substitute(key, attempt) for key in keys for attempt in range(3)]
    assert chosen == [dataset.substitute(key, attempt) for key in keys for attempt in range(3)]
    assert len(set(chosen)) > 120
    assert all(0 <= key.sample < COUNT for key in chosen)


def test_good_samples_are_not_touched_by_bad_ones(samples):
    before = list(training(samples, epochs=1))
    break_files(samples, 11)
    after = list(training(samples, epochs=1))
    changed = [
        not torch.equal(one, other)
        for first, second in zip(before, after, strict=True)
        for one, other in zip(first.images, second.images, strict=True)
    ]
    assert sum(changed) == 1


@pytest.mark.parametrize("num_workers", [0, 2])
def test_each_bad_image_is_logged_once_with_its_reason_and_counted(samples, num_workers, caplog):
    break_files(samples, 11, 57)
    batches = training(samples, num_workers=num_workers, epochs=3)
    with caplog.at_level(logging.WARNING):
        list(batches)
    assert len(batches.bad_images) == 2
    for i in (11, 57):
        lines = [record.message for record in caplog.records if str(samples.path(i)) in record.message]
        assert len(lines) == 1
        assert "truncated" in lines[0]


def test_too_many_stop_the_run_which_names_each_once_with_its_reason(samples):
    break_files(samples, 11, 57, 101, 150)
    with pytest.raises(DatasetError, match="4 of 200 images cannot be read, more than the 3 that may be") as caught:
        list(training(samples))
    for i in (11, 57, 101, 150):
        (problem,) = [problem for problem in caught.value.problems if problem.where == str(samples.path(i))]
        assert str(samples.path(i)) not in problem.what
        assert "truncated" in problem.what


@pytest.mark.parametrize(
    ("images", "bad"), [(1, 0), (9, 0), (10, 1), (29, 2), (30, 3), (300, 3), (399, 3), (400, 4), (10_000, 100)]
)
def test_one_in_a_hundred_may_be_left_out_and_three_of_a_small_split_but_never_more_than_a_tenth(images, bad):
    assert most_bad_images(images) == bad


@pytest.mark.parametrize("loader", [training, evaluation])
@pytest.mark.parametrize("num_workers", [0, 1])
def test_the_policy_error_stops_at_the_first(samples, loader, num_workers):
    break_files(samples, 57)
    with pytest.raises(ImageDecodeError, match=r"57\.png"):
        list(loader(samples, num_workers=num_workers, policy="error"))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_evaluation_leaves_bad_images_out_and_keeps_the_order_of_the_others(samples, num_workers):
    expected = [target for batch in evaluation(samples) for target in batch.targets.tolist()]
    break_files(samples, 11, 199)
    batches = evaluation(samples, num_workers=num_workers)
    found = [target for batch in batches for target in batch.targets.tolist()]
    assert found == expected[:11] + expected[12:199]
    assert len(batches.bad_images) == 2


def test_a_batch_of_nothing_but_bad_images_is_passed_over(samples):
    break_files(samples, 198, 199)
    batches = list(evaluation(samples, batch_size=2))
    assert len(batches) == 99
    assert all(len(batch.images) == 2 for batch in batches)
