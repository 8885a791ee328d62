from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lt_data import ColorJitter, Preprocessing, RandomCrop, RandomFlip, TransformConfig, preprocess
from lt_data.torch import Augmentation, finish
from lt_data.torch.augment import LUMA, random_box, random_color

SPEC = Preprocessing(image_size=(16, 24))
IMAGE = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)


def generator(*key: int) -> np.random.Generator:
    return np.random.default_rng(key)


def batch(change_of=None, image=IMAGE[:16, :24]):
    change = change_of or (np.eye(3, dtype=np.float32), 1.0)
    images = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]
    return finish(images, torch.from_numpy(change[0])[None], torch.tensor([change[1]], dtype=torch.float32), SPEC)


def test_without_random_transforms_training_sees_what_evaluation_sees():
    config = TransformConfig(random_crop=None, random_flip=None, color_jitter=None)
    augmentation = Augmentation.from_config(config, SPEC)
    pixels = augmentation.geometry(IMAGE, generator(0))
    seen = batch(image=pixels)[0].numpy()
    np.testing.assert_allclose(seen, preprocess(IMAGE, SPEC), atol=1e-5)


@given(height=st.integers(1, 400), width=st.integers(1, 400), low=st.floats(0.01, 1.0), seed=st.integers(0, 10**6))
def test_a_random_box_lies_inside_the_image(height, width, low, seed):
    box = random_box(height, width, RandomCrop(min_scale=low), generator(seed))
    assert 0 <= box.top < box.top + box.height <= height
    assert 0 <= box.left < box.left + box.width <= width


def test_random_boxes_have_the_asked_area_and_aspect_ratio():
    crop = RandomCrop(min_scale=0.25, max_scale=0.5)
    boxes = [random_box(200, 200, crop, generator(seed)) for seed in range(500)]
    areas = [box.height * box.width / 40_000 for box in boxes]
    ratios = [box.width / box.height for box in boxes]
    assert 0.24 <= min(areas) < 0.27
    assert 0.48 < max(areas) <= 0.51
    assert 0.73 <= min(ratios) < 0.78
    assert 1.28 < max(ratios) <= 1.36


@pytest.mark.parametrize(("horizontal", "vertical", "axis"), [(1.0, 0.0, 1), (0.0, 1.0, 0), (1.0, 1.0, (0, 1))])
def test_mirroring_turns_the_asked_axis(horizontal, vertical, axis):
    flip = RandomFlip(horizontal_prob=horizontal, vertical_prob=vertical)
    plain = Augmentation(preprocessing=SPEC, random_crop=None, random_flip=None, color_jitter=None)
    mirrored = Augmentation(preprocessing=SPEC, random_crop=None, random_flip=flip, color_jitter=None)
    expected = np.flip(plain.geometry(IMAGE, generator(0)), axis)
    np.testing.assert_array_equal(mirrored.geometry(IMAGE, generator(0)), expected)


def test_half_of_the_images_are_mirrored_by_default():
    augmentation = Augmentation(preprocessing=SPEC, random_crop=None, random_flip=RandomFlip(), color_jitter=None)
    variants = [augmentation.geometry(IMAGE, generator(seed)).tobytes() for seed in range(400)]
    assert 160 < variants.count(variants[0]) < 240


def test_brightness_multiplies():
    change = random_color(ColorJitter(brightness=0.5, contrast=0, saturation=0, hue=0), generator(1))
    factor = change.matrix[0, 0]
    np.testing.assert_allclose(change.matrix, np.eye(3) * factor, atol=1e-5)
    assert 0.5 <= factor <= 1.5
    assert change.contrast == 1.0


def test_saturation_and_hue_keep_luma():
    for seed in range(20):
        change = random_color(ColorJitter(brightness=0, contrast=0, saturation=0.9, hue=0.5), generator(seed))
        np.testing.assert_allclose(LUMA @ change.matrix, LUMA, atol=1e-5)
        np.testing.assert_allclose(change.matrix @ np.ones(3), np.ones(3), atol=1e-5)


def test_contrast_zero_leaves_the_mean_luma():
    seen = batch((np.eye(3, dtype=np.float32), 0.0))[0].numpy()
    pixels = seen * np.array(SPEC.std)[:, None, None] + np.array(SPEC.mean)[:, None, None]
    luma = (IMAGE[:16, :24] / 255 @ LUMA).mean()
    np.testing.assert_allclose(pixels, luma, atol=1e-4)


def test_colours_stay_in_range():
    seen = batch((np.eye(3, dtype=np.float32) * 5, 2.0))[0].numpy()
    pixels = seen * np.array(SPEC.std)[:, None, None] + np.array(SPEC.mean)[:, None, None]
    assert pixels.min() >= -1e-6
    assert pixels.max() <= 1 + 1e-6


def test_colour_is_left_alone_unless_images_are_rgb():
    grey = Preprocessing(image_size=(4, 4), num_channels=1, mean=(0.5,), std=(0.5,))
    assert Augmentation.from_config(TransformConfig(num_channels=1), grey).color_jitter is None
    images = torch.full((2, 1, 4, 4), 255, dtype=torch.uint8)
    result = finish(images, torch.zeros(2, 3, 3), torch.zeros(2), grey)
    np.testing.assert_allclose(result.numpy(), 1.0)
