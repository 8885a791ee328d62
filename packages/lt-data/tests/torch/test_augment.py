from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lt_data import Preprocessing, TransformConfig, preprocess, structure
from lt_data.torch import Augmentation, Finisher, SampleKey, TrainDataset
from lt_data.torch.augment import random_box
from lt_data.torch.dataset import as_batch
from lt_data.torch.reading import Pixels
from lt_data.transform_config import RandomCrop

SPEC = Preprocessing(image_size=(16, 24))
IMAGE = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
OFF = {"random_crop": None, "random_flip": None, "color_jitter": None}


def generator(*key: int) -> np.random.Generator:
    return np.random.default_rng(key)


def augmentation(spec=SPEC, **transforms) -> Augmentation:
    return Augmentation.from_config(structure({**OFF, **transforms}, TransformConfig, ""), spec)


def geometry(augmented: Augmentation, image=IMAGE, seed=0) -> np.ndarray:
    """uint8 (H, W, C), as pictures are."""
    return augmented.geometry(Pixels(image), generator(seed)).permute(1, 2, 0).numpy()


def seen(augmented: Augmentation, image=IMAGE, seed=0) -> np.ndarray:
    """What the model gets for one sample: float32 (C, H, W)."""
    rng = generator(seed)
    sample = as_batch(augmented.geometry(Pixels(image), rng), 0, augmented.color(rng))
    batch = type(sample)(*(part[None] for part in sample))
    return Finisher(augmented)(batch)[0].numpy().copy()


@pytest.mark.parametrize("mode", ["crop", "letterbox", "squash"])
def test_without_random_transforms_training_sees_what_evaluation_sees(mode):
    spec = Preprocessing(image_size=(16, 24), resize_mode=mode)
    np.testing.assert_allclose(seen(augmentation(spec)), preprocess(IMAGE, spec), atol=1e-5)


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
    flip = {"horizontal_prob": horizontal, "vertical_prob": vertical}
    expected = np.flip(geometry(augmentation()), axis)
    np.testing.assert_array_equal(geometry(augmentation(random_flip=flip)), expected)


def test_half_of_the_images_are_mirrored_by_default():
    mirroring = augmentation(random_flip={})
    variants = [geometry(mirroring, seed=seed).tobytes() for seed in range(400)]
    assert 160 < variants.count(geometry(augmentation()).tobytes()) < 240


def test_quarter_turns_come_in_all_three_kinds_and_turn_whole_images():
    spec = Preprocessing(image_size=(20, 20), resize_scale=1.0)
    square = IMAGE[:20, :20]
    turning = augmentation(spec, random_rotate_90={"prob": 1.0})
    variants = {geometry(turning, square, seed).tobytes() for seed in range(40)}
    assert variants == {np.rot90(square, turns).tobytes() for turns in (1, 2, 3)}


def test_a_crop_is_taken_from_the_turned_image():
    spec = Preprocessing(image_size=(16, 16))
    tall = np.zeros((160, 20, 3), dtype=np.uint8)
    tall[:80] = 255
    turning = augmentation(spec, random_crop={"min_scale": 1.0}, random_rotate_90={"prob": 1.0})
    halves = [geometry(turning, tall, seed)[:, :, 0] for seed in range(30)]
    sideways = [np.ptp(picture.mean(axis=0)) > np.ptp(picture.mean(axis=1)) for picture in halves]
    assert any(sideways)
    assert not all(sideways)


def test_a_turn_by_an_angle_moves_the_content_and_fills_the_corners_with_the_mean():
    spec = Preprocessing(image_size=(64, 64), resize_scale=1.0, mean=(0.2, 0.4, 0.6))
    white = np.full((64, 64, 3), 255, dtype=np.uint8)
    turned = [
        geometry(augmentation(spec, random_rotate={"prob": 1.0, "degrees": 45.0}), white, seed) for seed in range(20)
    ]
    for picture in turned:
        assert picture[32, 32].tolist() == [255, 255, 255]
    assert [51, 102, 153] in [picture[0, 0].tolist() for picture in turned]


def test_a_turn_by_no_angle_or_never_changes_nothing():
    for rotate in ({"prob": 0.0}, {"prob": 1.0, "degrees": 0.0}):
        np.testing.assert_array_equal(geometry(augmentation(random_rotate=rotate)), geometry(augmentation()))


def test_colour_transforms_turn_themselves_off_with_a_note_unless_images_are_rgb(caplog):
    grey = Preprocessing(image_size=(4, 4), num_channels=1, mean=(0.5,), std=(0.5,))
    with caplog.at_level(logging.INFO):
        augmented = augmentation(grey, color_jitter={}, random_grayscale={}, rand_augment={}, gaussian_blur={})
    assert "color_jitter, random_grayscale, rand_augment: off, because images have 1 channels" in caplog.text
    assert augmented.transforms.gaussian_blur is not None
    white = np.full((8, 8, 1), 255, dtype=np.uint8)
    np.testing.assert_allclose(seen(augmented, white), 1.0, atol=1e-6)


def test_no_note_is_made_of_transforms_that_were_not_asked_for(caplog):
    with caplog.at_level(logging.INFO):
        augmentation(Preprocessing(image_size=(4, 4), num_channels=1, mean=(0.5,), std=(0.5,)))
    assert not caplog.text


EVERYTHING = {
    "random_crop": {},
    "random_flip": {"vertical_prob": 0.5},
    "random_rotate": {"prob": 0.7, "degrees": 30},
    "random_rotate_90": {},
    "color_jitter": {"prob": 0.8},
    "random_grayscale": {},
    "gaussian_blur": {},
    "channel_drop": {"num_channels_keep": 2, "weight_drop": [1.0, 1.0, 0.5]},
    "rand_augment": {"num_ops": 3},
    "random_erasing": {"prob": 0.5},
}


def test_each_augmented_sample_is_a_function_of_seed_epoch_and_sample(tmp_path):
    from lt_data import SampleIndex

    for i in range(3):
        Image.fromarray(np.roll(IMAGE, i, axis=1)).save(tmp_path / f"{i}.jpg")
    samples = SampleIndex.from_paths(tmp_path, ["0.jpg", "1.jpg", "2.jpg"], np.arange(3, dtype=np.int32), num_classes=3)
    augmented = augmentation(**EVERYTHING)

    def draw(seed: int, key: SampleKey) -> tuple[bytes, ...]:
        return tuple(part.numpy().tobytes() for part in TrainDataset(samples, augmented, seed)[key])

    keys = [(seed, SampleKey(epoch, sample)) for seed in range(3) for epoch in range(3) for sample in range(3)]
    first = [draw(*key) for key in keys]
    assert [draw(*key) for key in reversed(keys)] == first[::-1]
    assert len(set(first)) == len(first)


@given(seed=st.integers(0, 2**32), magnitude=st.floats(0, 30), height=st.integers(1, 40), width=st.integers(1, 40))
def test_all_transforms_together_give_finite_inputs_of_the_right_size(seed, magnitude, height, width):
    augmented = augmentation(**{**EVERYTHING, "rand_augment": {"magnitude": magnitude}})
    result = seen(augmented, IMAGE[:height, :width], seed)
    assert result.shape == (3, 16, 24)
    assert np.isfinite(result).all()


def test_rand_augment_of_magnitude_zero_changes_nothing_but_tone_curves():
    # Autocontrast and equalisation have no strength; on an image that is flat in one step they do nothing either.
    flat = np.full((40, 50, 3), 77, dtype=np.uint8)
    for seed in range(40):
        picture = geometry(augmentation(rand_augment={"magnitude": 0.0}), flat, seed)
        np.testing.assert_array_equal(picture, np.full((16, 24, 3), 77))


def test_rand_augment_uses_many_operations_and_grows_with_magnitude():
    plain = geometry(augmentation()).astype(int)

    def change(magnitude: float) -> list[float]:
        augmented = augmentation(rand_augment={"num_ops": 1, "magnitude": magnitude})
        return [float(np.abs(geometry(augmented, seed=seed) - plain).mean()) for seed in range(150)]

    weak, strong = change(3.0), change(30.0)
    assert np.mean(strong) > 1.5 * np.mean(weak)
    assert len({round(value, 3) for value in strong}) > 15
    assert 1 <= strong.count(0.0) <= 30


def test_batches_are_uint8_until_they_are_finished():
    assert augmentation(**EVERYTHING).geometry(Pixels(IMAGE), generator(0)).dtype == torch.uint8


@pytest.mark.parametrize("aspect", [0.3, 1.0, 3.0])
def test_content_is_stretched_by_four_thirds_at_most_whatever_the_shape_of_the_input(aspect):
    boxes = [
        random_box(400, 500, RandomCrop(min_scale=0.02, max_scale=0.05), generator(seed), aspect=aspect)
        for seed in range(300)
    ]
    stretched = [box.width / box.height / aspect for box in boxes]
    assert 0.72 <= min(stretched) < 0.8
    assert 1.26 < max(stretched) <= 1.37


def test_the_crops_of_a_wide_input_are_wide():
    spec = Preprocessing(image_size=(100, 300))
    drawn = [augmentation(spec, random_crop={}).draw_geometry(300, 400, generator(seed)).box for seed in range(50)]
    assert all(box.width > 1.9 * box.height for box in drawn)
