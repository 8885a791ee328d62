from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import lt_export
from lt_export import EdgeModelError, build_engine


@pytest.fixture
def built(gpu, make_onnx, tmp_path):
    build_engine(make_onnx(), tmp_path / "m.trt", min_batchsize=2, opt_batchsize=2, max_batchsize=3)
    return tmp_path / "m.trt"


def images(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(1).integers(0, 256, (count, 20, 30, 3), dtype=np.uint8))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7])
def test_any_number_of_images_is_filled_up_and_split(built, make_onnx, count):
    expected = lt_export.load(make_onnx()).scores(images(count))
    np.testing.assert_allclose(lt_export.load(built).scores(images(count)), expected, atol=1e-6)


def test_threads_take_turns(built):
    classifier, shown = lt_export.load(built), images(12)
    expected = classifier.scores(shown)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: classifier.scores(shown), range(16)))
    assert all(np.array_equal(scores, expected) for scores in found)


def test_device_memory_is_given_back(gpu, built):
    assert not gpu.cuda.state.memory
    classifier = lt_export.load(built)
    classifier.scores(images(1))
    assert sorted(len(block) for block in gpu.cuda.state.memory.values()) == [3 * 3 * 4, 3 * 3 * 16 * 24 * 4]
    del classifier
    gc.collect()
    assert not gpu.cuda.state.memory
    assert not gpu.cuda.state.streams


def test_too_little_memory_is_an_error_that_leaves_none_taken(gpu, built):
    gpu.cuda.state.free_bytes = 3 * 3 * 16 * 24 * 4 + 10
    with pytest.raises(EdgeModelError, match=r"m\.trt: CUDA failed in cudaMalloc: cudaErrorMemoryAllocation"):
        lt_export.load(built)
    assert not gpu.cuda.state.memory
    assert not gpu.cuda.state.streams


def test_an_engine_stays_on_its_gpu_and_leaves_the_callers_alone(gpu, built):
    classifier = lt_export.load(built)
    expected = classifier.scores(images(2))
    gpu.cuda.state.device = 1
    np.testing.assert_array_equal(classifier.scores(images(2)), expected)
    assert gpu.cuda.state.device == 1


def test_a_run_that_tensorrt_refuses_says_so_and_the_next_one_works(gpu, built, monkeypatch):
    classifier = lt_export.load(built)
    expected = classifier.scores(images(2))
    with monkeypatch.context() as patch:
        patch.setattr(gpu.tensorrt.IExecutionContext, "execute_async_v3", lambda self, stream: False)
        with pytest.raises(EdgeModelError, match="could not run a batch of"):
            classifier.scores(images(2))
    assert all(not waiting for waiting in gpu.cuda.state.streams.values())
    np.testing.assert_array_equal(classifier.scores(images(2)), expected)
