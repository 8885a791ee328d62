"""Without a GPU no memory runs out: here a model raises what PyTorch raises there, from so many images on."""

from __future__ import annotations

import attrs
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lt_train import (
    DeviceMemoryError,
    LoggerArgs,
    MetricArgs,
    ModelArgs,
    RunFolder,
    SaveCheckpointArgs,
    TrainConfig,
    load_exported,
)
from lt_train.auto import largest_auto_batch, make_plan
from lt_train.device_memory import Trial, fitting_parts, largest_fitting
from lt_train.devices import start_fabric

OUT_OF_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def holds(most: int, *, after: int = 0, error: RuntimeError = OUT_OF_MEMORY):
    """A change of a model, which then trains with `most` images at once; the first passes find more room."""

    def change(classifier) -> None:
        passes = iter(range(after))

        def refuse(module, arguments, output):
            if module.training and len(output) > most and next(passes, None) is None:
                raise error

        # Behind the backbone, when batch-norm statistics have changed and dropout has drawn.
        classifier.head.register_forward_hook(refuse)

    return change


def weights_of(folder: RunFolder) -> dict[str, torch.Tensor]:
    return load_exported(folder.exported_last).state


def test_a_batch_that_does_not_fit_is_halved_and_the_steps_stay_what_they_were(job, tmp_path):
    smaller = RunFolder(tmp_path / "smaller")
    job.run(batch_size=2, gradient_accumulation_steps=4, out=smaller)
    job.run(batch_size=8, change=holds(2))
    one, other = weights_of(job.out), weights_of(smaller)
    assert all(torch.equal(one[name], other[name]) for name in one)
    log = job.out.log.read_text()
    assert "8 images at once do not fit in memory; from here 4 at once, 2 times a step" in log
    assert "4 images at once do not fit in memory; from here 2 at once, 4 times a step" in log


@pytest.mark.parametrize(
    "message",
    [
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "MPS backend out of memory (MPS allocated: 9.05 GB, max allowed: 9.07 GB). Tried to allocate 256.00 MB",
    ],
)
def test_a_batch_is_halved_too_where_pytorch_has_no_error_of_its_own_for_it(job, message):
    job.run(steps=1, batch_size=8, change=holds(4, error=RuntimeError(message)))
    assert "from here 4 at once, 2 times a step" in job.out.log.read_text()


def test_another_error_of_a_step_is_not_taken_for_a_lack_of_memory(job):
    with pytest.raises(RuntimeError, match="device-side assert"):
        job.run(change=holds(4, error=RuntimeError("CUDA error: device-side assert triggered")))


def test_a_step_that_ran_out_of_memory_leaves_no_trace(job, tmp_path):
    settings = {
        "steps": 3,
        "gradient_accumulation_steps": 2,
        "model_args": ModelArgs(ema_decay=0.9),
        "metric_args": MetricArgs(train=True),
        "logger_args": LoggerArgs(log_every_num_steps=1),
    }
    # Memory is short in the first half of step 3, or in the second, when statistics and gradients have changed already.
    early, late = job.out, RunFolder(tmp_path / "late")
    job.run(**settings, change=holds(4, after=4))
    job.run(**settings, change=holds(4, after=5), out=late)
    assert "step 2: 8 images at once" in late.log.read_text()
    one, other = weights_of(early), weights_of(late)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert early.metrics.read_text() == late.metrics.read_text()


def test_a_resumed_run_goes_on_with_the_batches_that_fitted(job, tmp_path):
    settings = {"steps": 6, "save_checkpoint_args": SaveCheckpointArgs(save_every_num_steps=1)}
    job.run(**settings, change=holds(4, after=2))
    stopped = RunFolder(tmp_path / "stopped")
    passes = iter(range(7))

    def stop_in_step_five(classifier):
        holds(4, after=2)(classifier)
        classifier.register_forward_pre_hook(lambda module, _: stop() if module.training else None)

    def stop():
        if next(passes, None) is None:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        job.run(**settings, out=stopped, change=stop_in_step_five)
    assert torch.load(stopped.checkpoint, weights_only=True)["split"] == 2
    job.run(**settings, out=stopped, resume=True)
    one, other = weights_of(job.out), weights_of(stopped)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_single_image_that_does_not_fit_is_an_error_with_what_to_do(job):
    def refuse(module, arguments):
        if module.training:
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(DeviceMemoryError, match="smaller model or image_size"):
        job.run(batch_size=6, change=lambda classifier: classifier.register_forward_pre_hook(refuse))
    for find in (largest_fitting, fitting_parts):
        with pytest.raises(DeviceMemoryError, match="single image"):
            find(lambda count: False, 6)


def judges(most: int):
    """A change of a model, which then gives features and scores of `most` images at once, where it does not train."""

    def refuse(module, arguments, output):
        if not module.training and len(output) > most:
            raise OUT_OF_MEMORY

    return lambda classifier: classifier.backbone.global_pool.register_forward_hook(refuse)


def test_images_that_do_not_fit_in_validation_are_judged_in_parts_with_the_same_metrics(job, tmp_path):
    whole = job.run(out=RunFolder(tmp_path / "whole"))
    in_parts = job.run(change=judges(3))
    assert in_parts.last_metrics == pytest.approx(whole.last_metrics, abs=1e-6)
    assert "validation: 8 images at once do not fit in memory; from here 4" in job.out.log.read_text()
    assert "validation: 4 images at once do not fit in memory; from here 2" in job.out.log.read_text()


def test_features_that_do_not_fit_are_computed_in_parts(job, tmp_path):
    frozen = {"model_args": ModelArgs(backbone_freeze=True), "batch_size": 8}
    whole = job.run(**frozen, out=RunFolder(tmp_path / "whole"))
    in_parts = job.run(**frozen, change=judges(4))
    assert in_parts.last_metrics == pytest.approx(whole.last_metrics, abs=1e-6)
    log = job.out.log.read_text()
    assert log.count("features: 8 images at once do not fit in memory; from here 4") == 1
    assert log.count("features for validation: 8 images at once do not fit in memory; from here 4") == 1


def test_a_single_image_that_does_not_fit_in_validation_is_an_error_with_what_to_do(job):
    trained = []

    def refuse(module, arguments):
        trained.extend([True] * module.training)
        if trained and not module.training:
            raise OUT_OF_MEMORY

    with pytest.raises(DeviceMemoryError, match="lower batch_size"):
        job.run(change=lambda classifier: classifier.register_forward_pre_hook(refuse))


@given(st.integers(1, 300), st.integers(1, 300))
def test_the_largest_batch_that_fits_is_found(limit, most):
    found = largest_fitting(lambda count: count <= most, limit)
    assert found <= most
    assert found == limit or 2 * found >= min(most, limit) - 1


@given(st.integers(1, 300), st.integers(1, 300))
def test_a_batch_is_split_into_the_fewest_equal_parts_that_fit(share, most):
    parts = fitting_parts(lambda count: count <= most, share)
    assert share % parts == 0
    assert share // parts <= most
    if share <= most:
        assert parts == 1


def test_a_trial_tells_what_fits_and_leaves_the_classifier_as_it_was(job):
    config = TrainConfig(accelerator="cpu", devices=1)
    found = {}

    def try_sizes(classifier):
        holds(5)(classifier)
        before = {name: tensor.clone() for name, tensor in classifier.state_dict().items()}
        trial = Trial(start_fabric(config), classifier, job.task.preprocessing)
        found.update(fits=trial(5), fails=trial(6))
        assert all(torch.equal(before[name], tensor) for name, tensor in classifier.state_dict().items())
        assert all(parameter.grad is None for parameter in classifier.parameters())
        raise InterruptedError

    with pytest.raises(InterruptedError):
        job.run(change=try_sizes)
    assert found == {"fits": True, "fails": False}


@pytest.mark.parametrize(
    ("samples", "ranks", "largest"),
    [(10**6, 1, 256), (10**6, 4, 256), (1000, 1, 32), (1000, 2, 16), (5, 1, 5), (100, 1, 16), (100, 4, 4)],
)
def test_automatic_batches_are_not_larger_than_the_data_can_bear(samples, ranks, largest):
    assert largest_auto_batch(samples, ranks) == largest
    plan, reasons = make_plan(TrainConfig(), num_samples=samples, world_size=ranks, fitting=largest)
    assert plan.batch_size == largest * ranks
    assert "fits in memory" in reasons["batch_size"]
    fewer = attrs.evolve(plan, batch_size=plan.batch_size * 6)
    assert fewer.split(6) == attrs.evolve(plan, accumulation=6)
