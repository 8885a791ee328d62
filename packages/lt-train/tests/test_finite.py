from __future__ import annotations

import json

import pytest
import torch
from lightning_fabric import Fabric
from PIL import Image

from lt_models import Classifier
from lt_train import (
    LoggerArgs,
    MetricArgs,
    ModelArgs,
    RunFolder,
    SaveCheckpointArgs,
    TrainingDivergedError,
    load_exported,
)
from lt_train.finite import FiniteGuard
from lt_train.state import TrainState


def overflow_on_white(classifier: Classifier) -> None:
    """Make the model overflow in training, from its first layer on, when a batch holds a pixel that is all white."""

    def divide(module, arguments):
        (images,) = arguments
        darkest = images.amin(dim=1)
        return (images / (darkest.amax() < 1.9),) if module.training else None

    classifier.register_forward_pre_hook(divide)


def whiten(samples, *which: int) -> None:
    for i in which:
        Image.new("RGB", (24, 24), "white").save(samples.path(i))


def weights_of(folder: RunFolder) -> dict[str, torch.Tensor]:
    return load_exported(folder.exported_last).state


EVERY_STEP = {"logger_args": LoggerArgs(log_every_num_steps=1), "save_checkpoint_args": SaveCheckpointArgs()}
SAVED_EVERY_STEP = {**EVERY_STEP, "save_checkpoint_args": SaveCheckpointArgs(save_every_num_steps=1)}


def test_a_step_that_is_not_finite_is_skipped_and_the_run_goes_on(job):
    whiten(job.data.train, 3)
    job.run(steps=10, change=overflow_on_white, metric_args=MetricArgs(train=True), **EVERY_STEP)
    warnings = [line for line in job.out.log.read_text().splitlines() if "was not finite" in line]
    assert len(warnings) == 4  # as often as image 3 in ten batches of 8 out of 20
    assert "4 in all, 2 in a row" in warnings[-1]
    assert all(tensor.isfinite().all() for tensor in weights_of(job.out).values())
    lines = [json.loads(line) for line in job.out.metrics.read_text().splitlines()]
    losses = [line["train_loss"] for line in lines if "train_loss" in line]
    assert len(losses) == 10
    assert losses.count(None) == 4


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_skipped_step_changes_no_weight_and_no_statistic(job, accumulation):
    whiten(job.data.train, *range(20))
    before = {}

    def keep(classifier):
        overflow_on_white(classifier)
        before.update({name: tensor.clone() for name, tensor in classifier.state_dict().items()})

    job.run(steps=3, change=keep, gradient_accumulation_steps=accumulation)
    after = weights_of(job.out)
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_ten_skipped_steps_in_a_row_end_the_run_and_name_the_images(job):
    whiten(job.data.train, *range(20))
    with pytest.raises(TrainingDivergedError, match="10 steps in a row") as caught:
        job.run(steps=30, batch_size=2, change=overflow_on_white, **SAVED_EVERY_STEP)
    assert str(caught.value).count(str(job.data.train.root)) == 2
    assert torch.load(job.out.checkpoint, weights_only=True)["step"] == 9


def test_skipped_steps_in_a_row_are_counted_on_by_a_resumed_run(job):
    whiten(job.data.train, *range(20))
    for resume in (False, True):
        with pytest.raises(TrainingDivergedError, match="up to step 10"):
            job.run(steps=30, change=overflow_on_white, resume=resume, **SAVED_EVERY_STEP)


def test_a_run_with_skipped_steps_resumes_to_bit_identical_weights(job, tmp_path):
    whiten(job.data.train, 3, 11)
    job.run(steps=10, change=overflow_on_white, **SAVED_EVERY_STEP)
    stopped = RunFolder(tmp_path / "stopped")

    def break_at(step):
        def arm(classifier):
            overflow_on_white(classifier)
            calls = iter(range(step))

            def count(module, arguments, output):
                if module.training and next(calls, None) is None:
                    raise InterruptedError

            classifier.register_forward_hook(count)

        return arm

    for step in (2, 3):
        with pytest.raises(InterruptedError):
            job.run(steps=10, out=stopped, change=break_at(step), resume=step > 2, **SAVED_EVERY_STEP)
    job.run(steps=10, out=stopped, change=overflow_on_white, resume=True, **SAVED_EVERY_STEP)
    one, other = weights_of(job.out), weights_of(stopped)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert job.out.metrics.read_text() == stopped.metrics.read_text()


def test_statistics_that_overflow_where_the_loss_does_not_are_never_saved(job):
    def enlarge(classifier):
        # The variance overflows, and what is divided by its root is 0: no loss and no gradient tells.
        classifier.register_forward_pre_hook(lambda module, inputs: (inputs[0] * 1e25,) if module.training else None)

    with pytest.raises(TrainingDivergedError):
        job.run(steps=30, change=enlarge, **SAVED_EVERY_STEP)
    assert all(tensor.isfinite().all() for tensor in weights_of(job.out).values())


def test_a_fused_optimiser_skips_on_the_device():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    guard = FiniteGuard(Fabric(accelerator="cpu", devices=1), model, optimizer)
    state = TrainState.fresh(torch.device("cpu"), None)
    for scale in (1.0, torch.inf, 2.0):
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        guard.begin()
        loss = (model(torch.eye(2)) * scale).square().sum()
        loss.backward()
        guard.step(optimizer, state, loss.detach(), torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0))
        optimizer.zero_grad()
        same = [torch.equal(before[name], tensor) for name, tensor in model.state_dict().items()]
        assert all(same) if scale == torch.inf else not any(same)
    assert (state.step, state.skipped.item(), state.skipped_in_a_row.item()) == (3, 1, 0)
    assert all(values["step"] == 2 for values in optimizer.state.values())


def test_a_model_whose_scores_are_not_finite_is_never_the_best_and_the_log_counts_the_images(job):
    result = job.run(
        model="timm/test_vit-notpretrained",
        steps=4,
        model_args=ModelArgs(lr=1e8, lr_warmup_steps=0),
        logger_args=LoggerArgs(val_every_num_steps=2),
    )
    assert result.exported_best is None
    assert not job.out.exported_best.exists()
    best = json.loads(job.out.report.read_text())["best"]["metrics"]
    assert set(best.values()) == {None}
    assert "validation of the model of step 2: the scores of 9 of 9 images are not finite" in job.out.log.read_text()
