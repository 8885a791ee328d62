"""A pass over the validation split, with the scores that `predict` gives."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from lightning_fabric import Fabric
from torch import nn

from lt_train.device_copies import to_device
from lt_train.device_memory import InParts
from lt_train.losses import scores_of, validation_loss
from lt_train.metrics.build import make_tally
from lt_train.metrics.plan import LOSS, VAL, MetricPlan
from lt_train.metrics.tally import Tally
from lt_train.ranks import FabricRanks
from lt_train.signals import StopRequest

logger = logging.getLogger(__name__)

Batch = TypeVar("Batch")


@torch.no_grad()
def validate(
    fabric: Fabric,
    classifier: nn.Module,
    batches: Iterable[tuple[torch.Tensor, torch.Tensor]],
    plan: MetricPlan,
    stop: StopRequest,
    spare: torch.Tensor | None = None,
) -> Tally | None:
    """Count the validation split; equal for any number of ranks and any batch size up to rounding of the model.

    The model runs in evaluation mode and in the precision of its weights, as exported models do, whatever precision
    it is trained in.

    Args:
        fabric: The run's.
        classifier: What is validated.
        batches: This rank's inputs and targets.
        plan: What is counted.
        stop: Ends it early.
        spare: Any one input, for a sharded model, which ranks can only run together: ranks with no batch left run it.

    Returns:
        The samples of all ranks, on each of them; None when one of them was asked to stop before the last batch.
    """
    training = classifier.training
    classifier.eval()
    ranks = FabricRanks(fabric)
    ranks.share_buffers(classifier)
    tally, loss = make_tally(plan), validation_loss(plan.task)
    weight_type = next(classifier.parameters()).dtype
    # Ranks can run a sharded model only together, and so not in parts that one of them needs.
    network = InParts(classifier, "validation") if spare is None else classifier
    idle = None if spare is None else (spare, None)
    for batch in shared_pace(batches, ranks, stop, idle):
        if batch is None:
            return None
        images, targets = batch
        with uncompiled(classifier):
            logits = network(to_device(images, fabric.device, weight_type)).float().cpu()
        if targets is None:
            continue
        tally.update(scores_of(logits, plan.task).numpy(), targets.numpy())
        tally.update_loss(loss(logits, targets).numpy())
    classifier.train(training)
    tally.reduce(ranks)
    return tally


@contextmanager
def uncompiled(classifier: nn.Module) -> Iterator[None]:
    """Run a compiled model as it is written while the block runs: compiled it rounds otherwise than exported."""
    if classifier._compiled_call_impl is None:  # importing the compiler takes seconds
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


def shared_pace(
    batches: Iterable[Batch], ranks: FabricRanks, stop: StopRequest, idle: Batch | None = None
) -> Iterator[Batch | None]:
    """The batches, then None in place of those that are left when any rank is asked to stop.

    Ranks may have different numbers of batches; each takes part in the question until the last has none left, and gets
    `idle`, if there is one, in place of what it does not have.
    """
    iterator = iter(batches)
    while True:
        batch = next(iterator, None)
        more, signal = ranks.largest(int(batch is not None), stop.signal)
        if not more:
            return
        if signal:
            stop.agree(signal)
            yield None
            return
        batch = idle if batch is None else batch
        if batch is not None:
            yield batch


def warn_of_scores(tally: Tally, split: str, step: int) -> None:
    """Say that a model gives scores that are not numbers, and how many images have them."""
    if tally.not_finite:
        logger.warning(
            "%s of the model of step %d: the scores of %d of %d images are not finite, so no metric is defined; lower "
            "model_args.lr",
            split,
            step,
            tally.not_finite,
            tally.samples,
        )


def validation_values(tally: Tally) -> dict[str, float]:
    """Validation values by logged name; NaN where one is not defined."""
    return {LOSS: tally.mean_loss(), **{f"{VAL}{name}": value for name, value in tally.values().items()}}
