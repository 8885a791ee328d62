"""The page's modules against lt-data, in Node.js."""

from __future__ import annotations

import base64
import io

import attrs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from lt_data import Calibration, Classes, Preprocessing, TaskSpec, load_image, select_labels
from lt_data.preprocessing import fit_size, normalize
from lt_export.agreement import LIMITS, compare
from lt_export.probes import probe_images

# The process that answers is the same for all examples, and remembers nothing.
one_process = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def packed(array):
    return {"base64": base64.b64encode(array.tobytes()).decode()}


def image_json(pixels):
    height, width, channels = pixels.shape
    return {"data": packed(pixels), "height": height, "width": width, "channels": channels}


def unpacked(answer, dtype):
    return np.frombuffer(base64.b64decode(answer["base64"]), dtype)


@st.composite
def tasks(draw):
    """An image and what to do with it; sides far apart, so that one is shrunk while the other grows."""
    channels = draw(st.sampled_from([1, 3, 4]))
    values = st.lists(st.floats(0.05, 0.95), min_size=channels, max_size=channels).map(tuple)
    spec = Preprocessing(
        image_size=(draw(st.integers(1, 48)), draw(st.integers(1, 48))),
        num_channels=channels,
        resize_mode=draw(st.sampled_from(["crop", "letterbox", "squash"])),
        resize_scale=draw(st.floats(1.0, 2.0)),
        interpolation=draw(st.sampled_from(["bilinear", "bicubic"])),
        mean=draw(values),
        std=draw(values),
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (draw(st.integers(1, 200)), draw(st.integers(1, 200)), channels)
    # Black and white make the bicubic filter overshoot.
    extreme = draw(st.booleans())
    return rng.integers(0, 2 if extreme else 256, shape, dtype=np.uint8) * np.uint8(255 if extreme else 1), spec


@one_process
@given(task=tasks())
def test_preprocessing_is_that_of_lt_data_to_the_bit(script, task):
    pixels, spec = task
    expected = fit_size(pixels, spec)
    fitted = script("preprocess.js", "fitSize", image_json(pixels), attrs.asdict(spec))
    np.testing.assert_array_equal(unpacked(fitted["data"], np.uint8).reshape(expected.shape), expected)
    found = script("preprocess.js", "preprocess", image_json(pixels), attrs.asdict(spec))
    normalized = normalize(expected, spec)
    np.testing.assert_array_equal(unpacked(found, np.float32).reshape(normalized.shape), normalized)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(224, 224), (7, 50), (1, 1)])
def test_probe_images_are_those_of_python(script, channels, size):
    spec = Preprocessing(image_size=size, num_channels=channels, mean=(0.5,) * channels, std=(0.5,) * channels)
    for number, expected in enumerate(probe_images(spec, 9)):
        found = script("probes.js", "probeImage", attrs.asdict(spec), number)
        assert (found["height"], found["width"], found["channels"]) == expected.shape
        np.testing.assert_array_equal(unpacked(found["data"], np.uint8).reshape(expected.shape), expected)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_of_opaque_pixels_are_those_of_lt_data(script, channels):
    pixels = np.random.default_rng(0).integers(0, 256, (300, 300, 4), dtype=np.uint8)
    pixels[:, :, 3] = 255
    found = unpacked(script("pixels.js", "fromRgba", packed(pixels), channels), np.uint8)
    np.testing.assert_array_equal(found.reshape(300, 300, channels), load_image(pixels, channels))


def saved(kind, mode="RGB", **options):
    stream = io.BytesIO()
    Image.new(mode, (20, 10)).save(stream, kind, **options)
    return np.frombuffer(stream.getvalue(), np.uint8)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (saved("JPEG"), "image/jpeg"),
        (saved("JPEG", progressive=True), "image/jpeg"),
        (saved("JPEG", "L"), "image/jpeg"),
        (saved("PNG", "RGBA"), "image/png"),
        (saved("PNG", "1"), "image/png"),
        (saved("WEBP"), "image/webp"),
        (saved("BMP"), "image/bmp"),
        (saved("BMP", "P"), "image/bmp"),
    ],
)
def test_files_are_recognised_by_content_and_refused_when_truncated(script, content, expected):
    assert script("formats.js", "mediaType", packed(content)) == expected
    for length in (len(content) - 3, len(content) // 2, 13):
        with pytest.raises(ValueError, match=r"truncated|damaged"):
            script("formats.js", "mediaType", packed(content[:length]))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (saved("TIFF"), "TIFF.*Python"),
        (saved("PPM"), "PPM.*Python"),
        (saved("PNG", "I;16"), "PNG of 16 bits.*Python"),
        (saved("JPEG", "CMYK"), "CMYK.*Python"),
        (saved("BMP", "RGBA"), "BMP of an unusual kind.*Python"),
        (np.frombuffer(bytes(128) + b"DICM" + bytes(100), np.uint8), "DICOM.*Python"),
        (saved("GIF", "P"), "none of the image formats JPEG, PNG, WebP and BMP"),
        (np.frombuffer(b"<svg xmlns='http://www.w3.org/2000/svg'/>", np.uint8), "none of the image formats"),
        (np.empty(0, np.uint8), "empty"),
    ],
)
def test_files_that_a_browser_would_read_otherwise_are_refused_with_the_reason(script, content, reason):
    with pytest.raises(ValueError, match=reason):
        script("formats.js", "mediaType", packed(content))


scores = st.lists(st.sampled_from([0.0, 0.1, 0.4999, 0.5, 0.50004, 0.6, 1.0]), min_size=4, max_size=4)


@one_process
@given(values=scores, task=st.sampled_from(["multiclass", "multilabel"]), topk=st.integers(1, 4))
def test_labels_are_selected_as_in_python(script, values, task, topk):
    classes = Classes((10, 20, 30, -(2**63)), ("a", "b", "c", "d"))
    spec = TaskSpec(task=task, classes=classes, preprocessing=Preprocessing(image_size=(8, 8)))
    model = {"task": task, "classes": [{"id": str(i), "name": n} for i, n in spec.classes.as_dict().items()]}
    found = script("scores.js", "selectLabels", values, model, {"topk": topk, "threshold": 0.5})
    expected = select_labels(np.array(values, np.float32), spec, topk=topk, threshold=0.5)
    assert [int(label["id"]) for label in found] == expected["labels"].tolist()


@one_process
@given(
    values=scores,
    thresholds=st.lists(st.floats(0, 1, exclude_min=True, exclude_max=True), min_size=4, max_size=4),
    threshold=st.just("auto") | st.sampled_from([0.1, 0.4999, 0.6]),
)
def test_thresholds_of_the_model_or_of_the_user_are_taken_as_in_python(script, values, thresholds, threshold):
    spec = TaskSpec(
        task="multilabel",
        classes=Classes((10, 20, 30, 40), ("a", "b", "c", "d")),
        preprocessing=Preprocessing(image_size=(8, 8)),
        calibration=Calibration(thresholds=tuple(thresholds)),
    )
    classes = [{"id": str(i), "name": n} for i, n in spec.classes.as_dict().items()]
    model = {"task": "multilabel", "classes": classes, "thresholds": thresholds}
    single = np.array(values, np.float32)
    found = script("scores.js", "selectLabels", single.tolist(), model, {"topk": 1, "threshold": threshold})
    expected = select_labels(single, spec, topk=1, threshold=threshold)
    assert [int(label["id"]) for label in found] == expected["labels"].tolist()


@one_process
@given(found=scores, expected=scores, task=st.sampled_from(["multiclass", "multilabel"]))
def test_scores_are_compared_as_in_python(script, found, expected, task):
    limits = LIMITS["fp32"]
    model = {"task": task, "limits": {"difference": limits.difference, "agreement": limits.agreement}}
    answer = script("scores.js", "compareScores", [found], [expected], model)
    spec = TaskSpec(
        task=task, classes=Classes(range(4), ("a", "b", "c", "d")), preprocessing=Preprocessing(image_size=(8, 8))
    )
    wanted = compare(np.array([found], np.float64), np.array([expected], np.float64), spec, limits.difference)
    assert answer["difference"] == wanted.largest_difference
    assert answer["agreement"] == wanted.agreement
    assert answer["passed"] == limits.allow(wanted)


def test_a_score_that_is_not_finite_does_not_pass(script):
    model = {"task": "multilabel", "limits": {"difference": 1e-4, "agreement": 1.0}}
    assert script("scores.js", "compareScores", [[0.1, 0.1]], [[0.1, 0.1]], model)["passed"]
    assert not script("scores.js", "compareScores", [["NaN", 0.1]], [[0.1, 0.1]], model)["passed"]
