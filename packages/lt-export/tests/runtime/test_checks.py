from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mean_colour import description

import lt_export
from lt_data import PredictionArgumentError, Preprocessing, usable_processors
from lt_export import EdgeModelError, SelfTestError
from lt_export.metadata import REFERENCE_SCORES, to_metadata
from lt_export.probes import probe_images
from lt_export.runtime.onnx_runner import open_session


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
@pytest.mark.parametrize("batch", ["N", 2])
def test_a_machine_that_gives_the_scores_in_the_file_passes(make_onnx, task, batch):
    result = lt_export.load(make_onnx(task=task, batch=batch)).selftest()
    assert result.agreement.images == 3
    assert result.agreement.largest_difference < result.limit == 1e-4
    assert "limit 1e-04" in str(result)


def test_a_machine_that_gives_other_scores_fails_by_name(make_onnx):
    metadata = to_metadata(description())
    scores = np.array(json.loads(metadata[REFERENCE_SCORES]))
    metadata[REFERENCE_SCORES] = json.dumps((scores + 0.001).tolist())
    with pytest.raises(SelfTestError, match="other scores.*1.0e-03"):
        lt_export.load(make_onnx(metadata=metadata)).selftest()


def test_a_file_without_reference_scores_cannot_be_tested(make_onnx):
    metadata = to_metadata(description())
    del metadata[REFERENCE_SCORES]
    with pytest.raises(EdgeModelError, match="no reference scores"):
        lt_export.load(make_onnx(metadata=metadata)).selftest()


@pytest.mark.parametrize("damage", ["[[1, 2]]", "{}", "nothing", '[["a", "b", "c"]]', "[" * 5000])
def test_damaged_reference_scores_are_refused(make_onnx, damage):
    with pytest.raises(EdgeModelError, match="lt_reference_scores"):
        lt_export.load(make_onnx(metadata=to_metadata(description()) | {REFERENCE_SCORES: damage}))


def test_an_unknown_precision_is_refused(make_onnx):
    with pytest.raises(EdgeModelError, match="`precision` must be one of fp32, fp16, int8, got 'fp2'"):
        lt_export.load(make_onnx(metadata=to_metadata(description()) | {"precision": "fp2"}))


def test_scores_that_are_not_finite_never_pass(make_onnx):
    path = make_onnx()
    model = onnx.load(path)
    weights = onnx.numpy_helper.to_array(model.graph.initializer[0]) * np.nan
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weights, "weights"))
    onnx.save(model, path)
    with pytest.raises(SelfTestError, match="nan"):
        lt_export.load(path).selftest()


def test_a_benchmark_counts_the_batches_it_was_asked_for(make_onnx):
    result = lt_export.load(make_onnx()).benchmark(batch_size=3, runs=7, warmup=1)
    assert (result.batch_size, result.runs) == (3, 7)
    assert 0.0 < result.p50 <= result.p95
    assert 3 / result.p95 / 2 < result.images_per_second
    assert "7 batches of 3" in str(result)


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"runs": 0}, {"warmup": -1}, {"runs": 2.5}])
def test_impossible_benchmarks_are_refused(make_onnx, wrong):
    with pytest.raises(PredictionArgumentError, match=next(iter(wrong))):
        lt_export.load(make_onnx()).benchmark(**wrong)


@given(size=st.tuples(st.integers(1, 64), st.integers(1, 64)), channels=st.integers(1, 5), count=st.integers(1, 12))
def test_probe_images_are_the_same_for_any_number_and_differ_from_each_other(size, channels, count):
    spec = Preprocessing(image_size=size, num_channels=channels, mean=(0.0,) * channels, std=(1.0,) * channels)
    images = probe_images(spec, count)
    again = probe_images(spec, 12)
    assert all(np.array_equal(a, b) for a, b in zip(images, again, strict=False))
    assert all(image.dtype == np.uint8 and image.shape[2] == channels for image in images)


def test_probe_images_stay_what_they_are():
    """Files in the field hold the scores of these very images."""
    spec = Preprocessing(image_size=(4, 6))
    assert [image.shape for image in probe_images(spec, 3)] == [(7, 10, 3), (6, 8, 3), (6, 8, 3)]
    assert [int(image.sum()) for image in probe_images(spec, 3)] == SUMS
    assert probe_images(spec, 1)[0][:2, :4].tolist() == CORNER


SUMS = [28900, 17930, 18439]
CORNER = [
    [[255, 255, 255], [178, 229, 229], [102, 204, 204], [25, 178, 178]],
    [[229, 204, 178], [204, 229, 153], [127, 255, 127], [51, 229, 102]],
]


def test_a_device_that_is_not_there_is_refused_with_what_there_is(make_onnx):
    with pytest.raises(EdgeModelError, match="no CUDAExecutionProvider; it runs on cpu"):
        lt_export.load(make_onnx(), device="cuda")
    with pytest.raises(EdgeModelError, match="device must be one of auto, cpu, cuda"):
        lt_export.load(make_onnx(), device="gpu")


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_the_device_that_runs_is_told(make_onnx, device):
    classifier = lt_export.load(make_onnx(), device=device)
    assert classifier.device.startswith("cpu (ONNX Runtime ")


def test_one_classifier_serves_several_threads(make_onnx):
    from concurrent.futures import ThreadPoolExecutor

    classifier = lt_export.load(make_onnx())
    images = probe_images(classifier.task.preprocessing, 8)
    expected = classifier.scores(images)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            found = list(pool.map(lambda image: classifier.scores([image])[0], images))
            np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_description_says_where_the_file_comes_from(make_onnx):
    found = lt_export.load(make_onnx()).description
    assert (found.precision, found.version, found.includes_preprocessing) == ("fp32", "0", False)
    assert found.task.classes.names == ("red", "green", "blue")


def test_idle_threads_do_not_keep_processors_busy(make_onnx):
    options = open_session(make_onnx().read_bytes(), num_threads=2).get_session_options()
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert options.intra_op_num_threads == 2


def test_threads_are_as_many_as_processors_that_may_be_used(make_onnx):
    options = open_session(make_onnx().read_bytes()).get_session_options()
    assert options.intra_op_num_threads == usable_processors()
