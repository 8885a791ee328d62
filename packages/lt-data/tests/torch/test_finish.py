from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from lt_data import ColorJitter, Preprocessing, TransformConfig, structure
from lt_data.torch import Augmentation, Finisher, TrainBatch
from lt_data.torch.color import LUMA, random_color

SPEC = Preprocessing(image_size=(16, 24))
IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (5, 3, 16, 24), dtype=np.uint8))
ALL = {
    "color_jitter": {},
    "gaussian_blur": {"max_sigma": 2.0},
    "random_erasing": {},
    "channel_drop": {"num_channels_keep": 2, "weight_drop": [1, 1, 1]},
}


def finisher(**transforms) -> Finisher:
    return Finisher(Augmentation.from_config(structure(transforms or ALL, TransformConfig, ""), SPEC))


def batch(images=IMAGES, **changes) -> TrainBatch:
    count, channels = images.shape[:2]
    plain = TrainBatch(
        images=images,
        targets=torch.zeros(count, dtype=torch.int64),
        color_matrix=torch.eye(3).repeat(count, 1, 1),
        contrast=torch.ones(count),
        sigma=torch.zeros(count),
        kept=torch.ones(count, channels),
        erased=torch.zeros(count, 4, dtype=torch.int64),
    )
    return plain._replace(**changes)


def levels(finished: torch.Tensor) -> np.ndarray:
    """Back to values in [0, 1]."""
    mean, std = (np.array(values)[:, None, None] for values in (SPEC.mean, SPEC.std))
    return finished.numpy() * std + mean


def test_an_unchanged_batch_is_normalised_and_nothing_else():
    np.testing.assert_allclose(levels(finisher()(batch())), IMAGES.numpy() / 255, atol=1e-6)


def test_brightness_multiplies():
    matrix, contrast = random_color(
        ColorJitter(brightness=0.5, contrast=0, saturation=0, hue=0), np.random.default_rng(1)
    )
    factor = matrix[0, 0]
    np.testing.assert_allclose(matrix, np.eye(3) * factor, atol=1e-5)
    assert 0.5 <= factor <= 1.5
    assert contrast == 1.0
    bright = batch(color_matrix=torch.from_numpy(matrix).float().repeat(5, 1, 1))
    np.testing.assert_allclose(levels(finisher()(bright)), np.clip(IMAGES.numpy() / 255 * factor, 0, 1), atol=1e-5)


def test_saturation_and_hue_keep_luma_and_grey():
    for seed in range(20):
        jitter = ColorJitter(brightness=0, contrast=0, saturation=0.9, hue=0.5)
        matrix, _ = random_color(jitter, np.random.default_rng(seed))
        np.testing.assert_allclose(LUMA @ matrix, LUMA, atol=1e-5)
        np.testing.assert_allclose(matrix @ np.ones(3), np.ones(3), atol=1e-5)


def test_contrast_zero_leaves_the_mean_luma():
    result = levels(finisher()(batch(contrast=torch.zeros(5))))
    for image, picture in zip(IMAGES.numpy(), result, strict=True):
        np.testing.assert_allclose(picture, (LUMA @ (image / 255).reshape(3, -1)).mean(), atol=1e-4)


def test_colours_stay_in_range():
    result = levels(finisher()(batch(color_matrix=torch.eye(3).repeat(5, 1, 1) * 5, contrast=torch.full((5,), 2.0))))
    assert result.min() >= -1e-6
    assert result.max() <= 1 + 1e-6


def test_grey_images_have_their_luma_in_all_channels():
    config = structure({"random_grayscale": {"prob": 1.0}, "color_jitter": None}, TransformConfig, "")
    augmentation = Augmentation.from_config(config, SPEC)
    matrix = torch.from_numpy(augmentation.color(np.random.default_rng(0)).matrix)
    result = levels(Finisher(augmentation)(batch(color_matrix=matrix.repeat(5, 1, 1))))
    expected = np.einsum("c,nchw->nhw", LUMA, IMAGES.numpy() / 255)
    for channel in range(3):
        np.testing.assert_allclose(result[:, channel], expected, atol=1e-5)


def test_blur_is_a_gaussian_of_the_asked_width():
    point = torch.zeros(1, 3, 33, 33, dtype=torch.uint8)
    point[:, :, 16, 16] = 255
    result = levels(finisher()(batch(point, sigma=torch.tensor([2.0]))))[0, 0]
    assert result.sum() == pytest.approx(1.0, abs=1e-3)
    rows = np.arange(33)[:, None] - 16
    assert np.sqrt((result * rows**2).sum()) == pytest.approx(2.0, rel=0.03)
    np.testing.assert_allclose(result, result.T, atol=1e-6)


def test_blur_mirrors_the_image_at_its_edges():
    sigma, reach = 1.5, 6
    weight = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weight /= weight.sum()
    padded = np.pad(IMAGES.numpy() / 255, ((0, 0), (0, 0), (reach, reach), (reach, reach)), mode="reflect")
    rows = sum(w * padded[:, :, i : i + 16] for i, w in enumerate(weight))
    expected = sum(w * rows[:, :, :, i : i + 24] for i, w in enumerate(weight))
    np.testing.assert_allclose(levels(finisher()(batch(sigma=torch.full((5,), sigma)))), expected, atol=1e-3)


def test_blur_is_much_like_pillows():
    image = np.zeros((33, 33, 3), dtype=np.uint8)
    image[8:25, 12:20] = 200
    expected = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(1.5))).transpose(2, 0, 1) / 255
    images = torch.from_numpy(image.transpose(2, 0, 1).copy())[None]
    np.testing.assert_allclose(levels(finisher()(batch(images, sigma=torch.tensor([1.5]))))[0], expected, atol=0.03)


def test_only_blurred_samples_are_blurred_each_with_its_own_width():
    sigma = torch.tensor([0.0, 1.0, 0.0, 2.0, 0.1])
    together = levels(finisher()(batch(sigma=sigma)))
    np.testing.assert_allclose(together[[0, 2]], IMAGES.numpy()[[0, 2]] / 255, atol=1e-5)
    assert np.ptp(together[3]) < np.ptp(together[1]) < np.ptp(together[0])


def test_dropped_channels_and_erased_rectangles_are_zero_which_is_the_mean():
    kept = torch.ones(5, 3)
    kept[1, 2] = 0
    erased = torch.zeros(5, 4, dtype=torch.int64)
    erased[3] = torch.tensor([2, 5, 4, 7])
    plain = finisher()(batch()).clone()
    result = finisher()(batch(kept=kept, erased=erased)).clone()
    assert (result[1, 2] == 0).all()
    assert (result[3, :, 2:6, 5:12] == 0).all()
    plain[1, 2] = 0
    plain[3, :, 2:6, 5:12] = 0
    torch.testing.assert_close(result, plain, rtol=0, atol=0)


@given(seed=st.integers(0, 2**32))
def test_erased_rectangles_lie_inside_and_have_the_asked_area(seed):
    config = structure({"random_erasing": {"prob": 1.0, "min_area": 0.1, "max_area": 0.3}}, TransformConfig, "")
    augmentation = Augmentation.from_config(config, Preprocessing(image_size=(60, 80)))
    box = augmentation.color(np.random.default_rng(seed)).erased
    assert 0 <= box.top <= 60 - box.height
    assert 0 <= box.left <= 80 - box.width
    assert 0.09 <= box.height * box.width / 4800 <= 0.31


@given(seed=st.integers(0, 2**32))
def test_as_many_channels_stay_as_asked_and_those_of_no_weight_always_do(seed):
    config = structure({"channel_drop": {"num_channels_keep": 3, "weight_drop": [1, 0, 1, 3]}}, TransformConfig, "")
    spec = Preprocessing(image_size=(8, 8), num_channels=4, mean=(0,) * 4, std=(1,) * 4)
    kept = Augmentation.from_config(config, spec).color(np.random.default_rng(seed)).kept
    assert kept.sum() == 3
    assert kept[1] == 1


def test_a_sample_is_finished_alike_in_any_batch():
    changes = {
        "color_matrix": torch.eye(3) + 0.2 * torch.rand(5, 3, 3),
        "contrast": torch.tensor([1.0, 0.5, 1.5, 1.0, 0.8]),
        "sigma": torch.tensor([0.0, 1.0, 0.0, 2.0, 0.5]),
    }
    whole = batch(**changes)
    together = finisher()(whole).clone()
    for i in range(5):
        alone = finisher()(TrainBatch(*(part[i : i + 1] for part in whole)))
        torch.testing.assert_close(alone[0], together[i], rtol=0, atol=1e-6)


def test_memory_is_used_again_from_batch_to_batch():
    finish = finisher()
    first = finish(batch())
    second = finish(batch(IMAGES[:2]))
    assert first.data_ptr() == second.data_ptr()
    assert second.shape == (2, 3, 16, 24)
    larger = finish(batch(torch.cat([IMAGES, IMAGES])))
    np.testing.assert_allclose(levels(larger)[5:], IMAGES.numpy() / 255, atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_finishes_as_a_cpu_does():
    whole = batch(
        color_matrix=torch.eye(3) + 0.2 * torch.rand(5, 3, 3),
        contrast=torch.tensor([1.0, 0.5, 1.5, 1.0, 0.8]),
        sigma=torch.tensor([0.0, 1.0, 0.0, 2.0, 0.5]),
    )
    on_gpu = finisher()(TrainBatch(*(part.cuda() for part in whole))).cpu()
    torch.testing.assert_close(on_gpu, finisher()(whole), rtol=1e-4, atol=1e-4)
