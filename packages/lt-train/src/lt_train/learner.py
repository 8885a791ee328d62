"""What learns: the classifier, its optimiser, and the average of its weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from torch import nn
from torch.optim import Optimizer

from lt_data import TaskSpec
from lt_models import Classifier, set_train_mode
from lt_train.auto import Plan
from lt_train.averaging import WeightAverage
from lt_train.config import TrainConfig
from lt_train.device_memory import is_out_of_memory
from lt_train.devices import without_precision_hint
from lt_train.errors import TrainConfigError
from lt_train.features import head_of
from lt_train.finite import FiniteGuard
from lt_train.losses import scores_of
from lt_train.optim import lr_at, make_optimizer, set_lr
from lt_train.recipe import Recipe
from lt_train.sharding import load_moments, load_weights, shard, whole, whole_tensor
from lt_train.sources import Inputs
from lt_train.state import TrainState


@attrs.frozen
class Snapshot:
    """What is saved of a learner; its tensors are the learner's own, except where they were sharded.

    Attributes:
        weights: Of the classifier that is validated and exported.
        training_weights: Of the one that learns, where the other is an average; else None.
        moments: The optimiser's state.
        scaler: State of the gradients' scaling, empty where they are not scaled.
    """

    weights: dict[str, torch.Tensor]
    training_weights: dict[str, torch.Tensor] | None
    moments: dict[str, Any]
    scaler: dict[str, Any]


class Learner:
    """A classifier in training.

    Attributes:
        classifier: It learns; on the device.
        evaluated: It is validated and exported: the same, or an average of its weights.
        judged: What validation runs: `evaluated`, or its head where features of a frozen backbone are kept.
        sharded: Whether each process has only a share of the weights.
    """

    def __init__(
        self, fabric: Fabric, classifier: Classifier, task: TaskSpec, config: TrainConfig, plan: Plan, recipe: Recipe
    ) -> None:
        self._fabric, self._task, self._seed, self._loss = fabric, task.task, config.seed, recipe.loss_on(fabric.device)
        self.classifier, self.sharded = classifier, config.strategy == "fsdp"
        decay = config.model_args.ema_decay
        self._average = WeightAverage(classifier, decay) if decay is not None else None
        self.evaluated = self._average.model if self._average else classifier
        self._part = "" if plan.feature_views is None else "head"
        trained: nn.Module = head_of(classifier) if self._part else classifier
        compile_training(trained, config.torch_compile_args)
        with without_precision_hint():
            self._model = fabric.setup_module(trained)
        self.judged = trained
        if self._average:
            self.judged = head_of(self.evaluated) if self._part else self.evaluated
            if self.sharded:
                shard(self.judged)
        scaler = getattr(fabric.strategy.precision, "scaler", None)
        # Its kernels take no sharded flags, and with a scaler it asks the host anyway.
        fused = fabric.device.type in ("cpu", "cuda") and not self.sharded and scaler is None
        self._raw = make_optimizer(classifier, plan, fused=fused)
        optimizer = fabric.setup_optimizers(self._raw)
        assert isinstance(optimizer, Optimizer)  # one for one
        self._optimizer = optimizer
        self.finite = FiniteGuard(fabric, trained, self._raw, scaler)

    def step(self, state: TrainState, inputs: Iterator[Inputs], plan: Plan) -> torch.Tensor | None:
        """One optimiser step.

        Returns:
            The gradient's norm before clipping, of shape (); None when the device had no memory for the step, of
            which no trace is left.

        Raises:
            RuntimeError: It had none, and other processes wait for this one, or the optimiser has no room.
        """
        set_train_mode(self._model)
        set_lr(self._optimizer, lr_at(state.step, plan))
        self.finite.begin()
        try:
            loss = self._passes(state, inputs, plan)
        except RuntimeError as error:
            # Of several processes the others wait for this one's gradient.
            if not is_out_of_memory(error) or self._fabric.world_size > 1:
                raise
            loss = None
        if loss is None:
            self._optimizer.zero_grad()
            self.finite.undo()
            return None
        limit = plan.clip_norm or math.inf
        norm = self._fabric.clip_gradients(self._model, self._optimizer, max_norm=limit, error_if_nonfinite=False)
        assert norm is not None
        norm = whole_tensor(norm)
        self.finite.step(self._optimizer, state, loss, norm)
        self._optimizer.zero_grad()
        if self._average is not None:
            self._average.update(self.classifier, state.step, self._part)
        return norm

    def _passes(self, state: TrainState, inputs: Iterator[Inputs], plan: Plan) -> torch.Tensor:
        """Forward and backward of each part of a step; returns the mean loss, of shape ()."""
        mean_loss, seen = torch.zeros_like(state.loss_sum), list[tuple[npt.NDArray[Any], npt.NDArray[Any]]]()
        for part in range(plan.accumulation):
            batch = next(inputs)
            # Dropout draws from torch's generator. Seeding it here, after the loader may have drawn from it too, makes
            # dropout a function of the step and not a state.
            seed_passes(pass_seed(self._seed, state.step, part, self._fabric.global_rank), self._fabric.device)
            with self._fabric.no_backward_sync(self._model, enabled=part < plan.accumulation - 1):
                logits = self._model(batch.inputs)
                loss = self._loss(logits, batch.targets).mean()
                self._fabric.backward(loss / plan.accumulation)
            if state.tally is not None and (scores := scores_of(logits, self._task)).isfinite().all():
                seen.append((scores.numpy(), batch.labels.cpu().numpy()))
            mean_loss += loss.detach() / plan.accumulation
        if state.tally is not None:
            for batch_scores, labels in seen:
                state.tally.update(batch_scores, labels)
        return mean_loss

    def snapshot(self) -> Snapshot:
        """What is to be saved; where weights are sharded, all processes must ask."""
        gather = whole if self.sharded else lambda content: content
        return Snapshot(
            weights=gather(self.evaluated.state_dict()),
            training_weights=gather(self.classifier.state_dict()) if self._average else None,
            moments=gather(self._raw.state_dict()),
            scaler=self._fabric.strategy.precision.state_dict(),
        )

    def restore(self, saved: Snapshot) -> None:
        """Go on from what was saved.

        Raises:
            RuntimeError: It does not fit.
            ValueError: Likewise.
            TypeError: Likewise.
        """
        if self._average is not None:
            load_weights(self.evaluated, saved.weights)
        weights = saved.weights if self._average is None else saved.training_weights
        if weights is None:
            raise TypeError("there are no weights that training goes on with")
        load_weights(self.classifier, weights)
        load_moments(self._raw, saved.moments)
        if saved.scaler:
            self._fabric.strategy.precision.load_state_dict(saved.scaler)


def pass_seed(seed: int, step: int, part: int, rank: int) -> int:
    """Seed of torch's generator for one forward pass on one rank."""
    return int(np.random.SeedSequence((seed, step, part, rank)).generate_state(1, np.uint64)[0] >> np.uint64(1))


def seed_passes(seed: int, device: torch.device) -> None:
    """`torch.manual_seed`, which on a CPU takes 1 ms to note, for GPUs that may come, where it was called from."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def compile_training(trained: nn.Module, args: Mapping[str, Any] | None) -> None:
    """Let torch.compile have a module's calls; its names and its `forward` stay as they are.

    Raises:
        TrainConfigError: They are not arguments of torch.compile.
    """
    if args is None:
        return
    try:
        trained.compile(**args)
    # AssertionError: of a value of another type.
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise TrainConfigError(f"torch_compile_args: {error}") from error
