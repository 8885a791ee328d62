from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lt_data import ConfigError, Normalize, Preprocessing, TransformConfig, preprocess, resolve_transforms, structure
from lt_data.preprocessing import center_box, crop_and_resize, fit_size

sides = st.integers(1, 3000)
sizes = st.tuples(st.integers(1, 512), st.integers(1, 512))


@given(height=sides, width=sides, size=sizes, scale=st.floats(1.0, 3.0))
def test_the_box_is_centred_inside_the_image_and_has_the_shape_of_the_input(height, width, size, scale):
    box = center_box(height, width, Preprocessing(image_size=size, resize_scale=scale))
    assert box.top >= 0
    assert box.top + box.height <= height
    assert box.left >= 0
    assert box.left + box.width <= width
    assert abs(height - box.height - 2 * box.top) <= 1
    assert abs(width - box.width - 2 * box.left) <= 1
    # Half a pixel of rounding on each side is all that the aspect ratio may be off, except below one pixel.
    if min(box.height, box.width) > 1:
        assert abs(box.height * size[1] - box.width * size[0]) <= 0.5 * (size[0] + size[1]) + 1e-6


def test_the_field_of_view_is_that_of_resize_then_crop():
    # 256 / 224 = 1.143: of a 500 x 375 image, the customary recipe sees 375 * 224 / 256 = 328 rows and columns.
    box = center_box(375, 500, Preprocessing(image_size=(224, 224), resize_scale=256 / 224))
    assert (box.height, box.width, box.top, box.left) == (328, 328, 23, 86)


def test_pixels_are_those_of_resize_then_crop_up_to_sampling():
    rows, columns = np.mgrid[0:375, 0:500]
    waves = np.stack([np.sin(rows / 30), np.cos(columns / 40), np.sin((rows + columns) / 50)], axis=2)
    image = (waves * 127 + 128).astype(np.uint8)
    ours = preprocess(image, Preprocessing(image_size=(224, 224), resize_scale=256 / 224, mean=(0,) * 3, std=(1,) * 3))
    resized = Image.fromarray(image).resize((341, 256), Image.Resampling.BILINEAR).crop((58, 16, 282, 240))
    theirs = np.asarray(resized).transpose(2, 0, 1) / 255
    assert np.abs(ours - theirs).mean() < 0.01


@given(channels=st.sampled_from([1, 3, 4, 5]), value=st.integers(0, 255), size=sizes)
def test_a_flat_image_stays_flat_and_is_normalised_by_channel(channels, value, size):
    mean = tuple(0.1 * (band + 1) for band in range(channels))
    std = tuple(0.2 * (band + 1) for band in range(channels))
    spec = Preprocessing(image_size=size, num_channels=channels, mean=mean, std=std)
    result = preprocess(np.full((9, 7, channels), value, np.uint8), spec)
    assert result.dtype == np.float32
    assert result.shape == (channels, *size)
    for band in range(channels):
        np.testing.assert_allclose(result[band], (value / 255 - mean[band]) / std[band], atol=1e-5)


def test_shrinking_is_antialiased():
    checkerboard = ((np.indices((512, 512)).sum(axis=0) % 2) * 255).astype(np.uint8)[:, :, np.newaxis].repeat(3, axis=2)
    for interpolation in ("bilinear", "bicubic"):
        spec = Preprocessing(image_size=(32, 32), resize_scale=1.0, interpolation=interpolation)
        box = center_box(512, 512, spec)
        small = crop_and_resize(checkerboard, box, (32, 32), interpolation)
        assert np.abs(small.astype(int) - 127).max() <= 3


@given(height=st.integers(1, 300), width=st.integers(1, 300), size=st.tuples(st.integers(1, 64), st.integers(1, 64)))
def test_letterbox_keeps_the_whole_image_and_its_aspect_ratio_inside_the_mean_colour(height, width, size):
    spec = Preprocessing(image_size=size, resize_mode="letterbox", mean=(0.5, 0.25, 0.75), std=(1,) * 3)
    fitted = fit_size(np.full((height, width, 3), 255, np.uint8), spec)
    assert fitted.shape == (*size, 3)
    inside = (fitted == 255).all(axis=2)
    assert (fitted[~inside] == [128, 64, 191]).all()
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    assert inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    assert len(rows) == size[0] or len(columns) == size[1]
    assert abs(rows[0] - (size[0] - 1 - rows[-1])) <= 1
    assert abs(columns[0] - (size[1] - 1 - columns[-1])) <= 1
    scale = min(size[0] / height, size[1] / width)
    assert abs(len(rows) - max(1, height * scale)) <= 0.5 + 1e-6
    assert abs(len(columns) - max(1, width * scale)) <= 0.5 + 1e-6


def test_squash_keeps_the_whole_image_and_gives_up_its_aspect_ratio():
    image = np.zeros((40, 10, 3), np.uint8)
    image[:20] = 200
    spec = Preprocessing(image_size=(8, 8), resize_mode="squash", mean=(0,) * 3, std=(1,) * 3)
    expected = np.asarray(Image.fromarray(image).resize((8, 8), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(fit_size(image, spec), expected)


@pytest.mark.parametrize("mode", ["crop", "letterbox", "squash"])
def test_the_resize_mode_reaches_validation(mode):
    config = structure({"resize_mode": mode}, TransformConfig, "")
    assert resolve_transforms(config, MODEL).val.resize_mode == mode


def test_pixels_do_not_depend_on_the_version_of_pillow():
    image = (np.arange(7 * 5).reshape(7, 5) * 97 % 256).astype(np.uint8)
    image[::2] = 255
    # From Pillow 12.3, which resizes rows first; Pillow 13.0 would take columns first here and give other values.
    expected = [
        [249, 214, 174, 208, 200, 148, 169, 192],
        [219, 185, 144, 167, 198, 221, 188, 158],
        [193, 217, 238, 186, 174, 209, 240, 255],
    ]
    spec = Preprocessing(
        image_size=(3, 8), num_channels=1, resize_mode="squash", interpolation="bicubic", mean=(0.0,), std=(1.0,)
    )
    np.testing.assert_array_equal(fit_size(image[:, :, np.newaxis], spec)[:, :, 0], expected)


def test_alpha_does_not_weigh_the_other_channels():
    image = np.zeros((8, 8, 4), np.uint8)
    image[:, :4, 0] = 255  # red where transparent
    image[:, 4:, 3] = 255
    spec = Preprocessing(image_size=(1, 1), num_channels=4, resize_scale=1.0, mean=(0,) * 4, std=(1,) * 4)
    np.testing.assert_allclose(preprocess(image, spec).ravel(), [0.5, 0, 0, 0.5], atol=0.01)


MODEL = Preprocessing(image_size=(160, 192), resize_scale=1.05, interpolation="bicubic", mean=(0.3, 0.6, 0.9))


def test_what_the_user_leaves_open_comes_from_the_model():
    resolved = resolve_transforms(TransformConfig(), MODEL)
    assert resolved.val == MODEL
    assert resolved.train.image_size == (160, 192)


def test_what_the_user_sets_wins_and_validation_may_differ_from_training():
    config = structure(
        {
            "image_size": [32, 32],
            "normalize": {"mean": [0, 0, 0], "std": [1, 1, 1]},
            "val": {"image_size": [64, 64], "resize_scale": 1.2},
        },
        TransformConfig,
        "",
    )
    resolved = resolve_transforms(config, MODEL)
    assert (resolved.train.image_size, resolved.val.image_size, resolved.val.resize_scale) == ((32, 32), (64, 64), 1.2)
    assert resolved.train.mean == resolved.val.mean == (0, 0, 0)


def test_normalisation_must_fit_the_number_of_channels():
    config = TransformConfig(num_channels=4, normalize=Normalize(mean=(0.5,), std=(0.5,)))
    with pytest.raises(ConfigError, match=r"transform_args\.normalize.*4 channels"):
        resolve_transforms(config, MODEL)


def test_the_number_of_channels_is_the_models_unless_set():
    grey = Preprocessing(image_size=(8, 8), num_channels=1, mean=(0.2,), std=(0.1,))
    assert resolve_transforms(TransformConfig(), grey).val == grey
    assert resolve_transforms(TransformConfig(num_channels=3), grey).val.mean == (0.2, 0.2, 0.2)


@pytest.mark.parametrize(("channels", "mean"), [(1, (0.6,)), (4, (0.3, 0.6, 0.9, 0.3))])
def test_normalisation_follows_the_number_of_channels(channels, mean):
    resolved = resolve_transforms(TransformConfig(num_channels=channels), MODEL)
    assert resolved.val.mean == pytest.approx(mean)


@pytest.mark.parametrize("size", [224, (224.5, 10), (224,), [224, 224]])
def test_an_image_size_is_two_whole_numbers(size):
    with pytest.raises(ValueError, match=r"image_size must be \(height, width\)"):
        Preprocessing(image_size=size)
