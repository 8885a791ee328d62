from __future__ import annotations

import logging
import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lt_data import ImageDecodeError, Preprocessing, SampleIndex, TransformConfig
from lt_data.torch import Augmentation, StreamSampler, TrainDataset, open_cache, train_loader

SPEC = Preprocessing(image_size=(16, 16))


@pytest.fixture
def samples(tmp_path) -> SampleIndex:
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for i in range(12):
        pixels = rng.integers(0, 256, (12 + 9 * i, 90 - i, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{i}.{'jpg' if i % 2 else 'png'}")
    names = [f"{i}.{'jpg' if i % 2 else 'png'}" for i in range(12)]
    return SampleIndex.from_paths(tmp_path / "images", names, np.arange(12, dtype=np.int32) % 3, num_classes=3)


def train_batches(samples, cache, *, num_workers=0, epochs=2, **workers):
    dataset = TrainDataset(samples, Augmentation.from_config(TransformConfig(), SPEC), 3, cache)
    sampler = StreamSampler(num_samples=12, batch_size=4, start=0, stop=3 * epochs, seed=3)
    return list(train_loader(dataset, sampler, num_workers=num_workers, pin_memory=False, **workers))


def assert_same(first, second):
    for one, other in zip(first, second, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("kind", ["ram", "disk"])
def test_batches_are_the_same_for_any_number_of_workers_and_any_limit(samples, kind, tmp_path):
    results = []
    for num_workers, limit in ((0, 10**8), (2, 10**8), (0, 0), (1, 20_000)):
        with open_cache(kind, tmp_path, 12, SPEC, limit) as cache:
            results.append(train_batches(samples, cache, num_workers=num_workers))
    for result in results[1:]:
        assert_same(result, results[0])


def test_workers_that_are_spawned_share_it_too(samples, tmp_path):
    with open_cache("ram", tmp_path, 12, SPEC, 10**8) as cache:
        spawned = train_batches(samples, cache, num_workers=1, epochs=1, multiprocessing_context="spawn")
        for i in range(12):
            samples.path(i).unlink()
        # No file is left to decode: this process finds what the worker wrote.
        assert_same(train_batches(samples, cache, epochs=1), spawned)


def test_later_epochs_read_no_file(samples, tmp_path):
    with open_cache("disk", tmp_path, 12, SPEC, 10**8) as cache:
        expected = train_batches(samples, cache)
        for i in range(12):
            samples.path(i).write_bytes(b"gone")
        assert_same(train_batches(samples, cache), expected)


def test_what_does_not_fit_is_decoded_in_each_epoch(samples, tmp_path):
    with open_cache("ram", tmp_path, 12, SPEC, 20_000) as cache:
        train_batches(samples, cache)
        for i in range(12):
            samples.path(i).write_bytes(b"gone")
        with pytest.raises(ImageDecodeError):
            train_batches(samples, cache)


def test_the_file_is_no_larger_than_asked_and_gone_afterwards(samples, tmp_path):
    folder = tmp_path / "cache"
    with open_cache("disk", folder, 12, SPEC, 30_000) as cache:
        train_batches(samples, cache)
        (file,) = folder.iterdir()
        assert file.stat().st_size <= 30_000
    assert list(folder.iterdir()) == []


def open_descriptors() -> list[str]:
    """Those of caches."""
    files = [os.path.realpath(descriptor) for descriptor in Path("/proc/self/fd").iterdir()]
    return [file for file in files if "lt-data-cache" in file]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists open files in /proc")
@pytest.mark.parametrize("kind", ["ram", "disk"])
def test_a_cache_that_ends_leaves_no_file_open_though_an_image_is_still_in_use(samples, tmp_path, kind):
    with open_cache(kind, tmp_path, 12, SPEC, 10**8) as cache:
        dataset = TrainDataset(samples, Augmentation.from_config(TransformConfig(), SPEC), 3, cache)
        first = cache.get(0, dataset._decode).copy()
        in_use = cache.get(0, dataset._decode)
        assert open_descriptors()
    assert (in_use == first).all()
    del in_use
    assert not open_descriptors()


def test_cached_images_are_shrunk_to_what_the_size_of_the_input_needs_and_never_enlarged(samples, tmp_path):
    with open_cache("ram", tmp_path, 12, SPEC, 10**8) as cache:
        dataset = TrainDataset(samples, Augmentation.from_config(TransformConfig(), SPEC), 3)
        shapes = [cache.get(i, dataset._decode).shape for i in range(12)]
    assert shapes[0] == (9, 70, 3)
    assert all(min(shape[:2]) <= 21 and shape[0] * shape[1] <= 1.5 * 21**2 for shape in shapes)
    assert max(min(shape[:2]) for shape in shapes) == 21


def test_a_full_disk_is_no_reason_to_stop(samples, tmp_path, monkeypatch, caplog):
    import os

    from lt_data.torch import cache as module

    expected = None
    with open_cache("disk", tmp_path, 12, SPEC, 10**8) as cache:
        expected = train_batches(samples, cache)

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(module, "_write_at", full)
    with caplog.at_level(logging.WARNING), open_cache("disk", tmp_path, 12, SPEC, 10**8) as cache:
        assert_same(train_batches(samples, cache), expected)
    assert caplog.text.count("No space left on device") == 1


def test_a_cache_travels_to_workers_as_a_path(samples, tmp_path):
    with open_cache("ram", tmp_path, 12, SPEC, 10**8) as cache:
        train_batches(samples, cache)
        assert len(pickle.dumps(cache)) < 2000
