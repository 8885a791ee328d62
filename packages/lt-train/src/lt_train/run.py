"""One run: its parts, and the loop over them."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import attrs
import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn
from torch.optim import Optimizer

from lt_data import DatasetIndex, SampleIndex, TaskSpec
from lt_data.torch import (
    Augmentation,
    EvalDataset,
    SampleCache,
    TrainDataset,
    eval_loader,
)
from lt_models import Classifier, freeze, set_train_mode
from lt_train.auto import Plan
from lt_train.averaging import WeightAverage
from lt_train.checkpoint import restore_checkpoint
from lt_train.config import LoaderArgs, TrainConfig
from lt_train.errors import TrainConfigError
from lt_train.features import FeatureSource, KeptBatches, head_of
from lt_train.finite import FiniteGuard
from lt_train.loggers.build import Loggers
from lt_train.losses import scores_of
from lt_train.metrics.build import is_classwise, make_tally
from lt_train.metrics.plan import LESS_IS_BETTER, TRAIN, MetricPlan
from lt_train.metrics.tally import Tally
from lt_train.optim import lr_at, make_optimizer, set_lr
from lt_train.progress import RunProgress
from lt_train.ranks import FabricRanks
from lt_train.recipe import Recipe
from lt_train.run_folder import RunFolder
from lt_train.run_log import details
from lt_train.run_report import write_report
from lt_train.saving import Saver, check_weights
from lt_train.signals import StopRequest
from lt_train.sources import ImageSource, Inputs, Source, Stream
from lt_train.state import TrainState, Validation, improves
from lt_train.validate import validate, validation_values

logger = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class TrainResult:
    """How a run ended.

    Attributes:
        best_step: Step of the best validation.
        best_metrics: Its values by logged name.
        last_metrics: Values of the last validation.
        exported_best: File of the best model, None when it was not asked for, or the watched metric was never defined.
        exported_last: File of the last model, None when it was not asked for.
        out: The run folder.
    """

    best_step: int
    best_metrics: dict[str, float]
    last_metrics: dict[str, float]
    exported_best: Path | None
    exported_last: Path | None
    out: Path


@attrs.frozen(kw_only=True)
class TrainData:
    """What a run learns from.

    Attributes:
        train: Samples to train on.
        val: Samples to validate on.
        augmentation: What training does to its samples.
        on_bad_image: What happens with images that cannot be read: `"skip"` leaves them out, logs each once and stops
            above 1 % of a split; `"error"` stops at the first.
        cache: Where decoded training images are kept for later epochs: `"ram"`, `"disk"` (in the run folder), or None.
        cache_limit_gb: The most that the cache takes, in units of 10^9 bytes.
        split: The data set, when its validation samples were split off its training samples: written to the run
            folder as CSV files.
    """

    train: SampleIndex
    val: SampleIndex
    augmentation: Augmentation
    on_bad_image: Literal["skip", "error"] = "skip"
    cache: Literal["ram", "disk"] | None = None
    cache_limit_gb: float = 8.0
    split: DatasetIndex | None = None


def pass_seed(seed: int, step: int, part: int, rank: int) -> int:
    """Seed of torch's generator for one forward pass on one rank."""
    return int(np.random.SeedSequence((seed, step, part, rank)).generate_state(1, np.uint64)[0] >> np.uint64(1))


def loading_arguments(args: LoaderArgs, num_workers: int, device: torch.device) -> dict[str, Any]:
    """What both loaders are given; arguments of workers only where there are any."""
    pin_memory = device.type == "cuda" if args.pin_memory == "auto" else args.pin_memory
    loading: dict[str, Any] = {"num_workers": num_workers, "pin_memory": pin_memory}
    if num_workers > 0:
        loading["prefetch_factor"] = args.prefetch_factor
        loading["timeout"] = args.timeout
        loading["multiprocessing_context"] = args.multiprocessing_context
    return loading


def frozen_part(asked: bool | int | str) -> str | int | None:
    """`model_args.backbone_freeze` as `lt_models.freeze` has it."""
    if isinstance(asked, bool):
        return "backbone" if asked else None
    return asked


def compile_training(trained: nn.Module, args: Mapping[str, Any] | None) -> None:
    """Let torch.compile have a module's calls; its names and its `forward` stay as they are.

    Raises:
        TrainConfigError: They are not arguments of torch.compile.
    """
    if args is None:
        return
    try:
        trained.compile(**args)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TrainConfigError(f"torch_compile_args: {error}") from error


class Run:
    """One run's parts, wired; `train` is the loop."""

    def __init__(
        self,
        fabric: Fabric,
        classifier: Classifier,
        task: TaskSpec,
        data: TrainData,
        config: TrainConfig,
        plan: Plan,
        recipe: Recipe,
        out: RunFolder,
        metrics: MetricPlan,
        watched: str,
        arguments: Mapping[str, Any],
        cache: SampleCache | None = None,
    ) -> None:
        self.fabric, self.task, self.data, self.config, self.plan = fabric, task, data, config, plan
        self.out, self.metrics, self.watched, self.cache = out, metrics, watched, cache
        self.ranks, self.recipe = FabricRanks(fabric), recipe
        self.named_missing = False
        self.identity = {
            **arguments,
            "train_files": data.train.fingerprint(),
            "val_files": data.val.fingerprint(),
            "task_spec": json.loads(task.to_json()),
            "world_size": fabric.world_size,
        }
        self.classifier = classifier
        freeze(classifier, frozen_part(config.model_args.backbone_freeze))
        classifier.to(fabric.device)
        decay = config.model_args.ema_decay
        self.average = WeightAverage(classifier, decay) if decay is not None else None
        self.evaluated = self.average.model if self.average else classifier
        trained: nn.Module = classifier if plan.feature_views is None else head_of(classifier)
        compile_training(trained, config.torch_compile_args)
        self.optimizer: Optimizer
        self.raw_optimizer = make_optimizer(classifier, plan)
        self.model, self.optimizer = fabric.setup(trained, self.raw_optimizer)
        self.finite = FiniteGuard(fabric, trained, self.raw_optimizer)
        self.stream = Stream(data.train, plan, config.seed, recipe.draws)
        self.loading = {
            **loading_arguments(config.loader_args, plan.num_workers, fabric.device),
            "on_bad_image": data.on_bad_image,
        }
        self.saver = Saver(
            out,
            task,
            self.evaluated,
            classifier if self.average else None,
            self.raw_optimizer,
            self.identity,
            export_last=config.save_checkpoint_args.save_last,
        )
        self.val_batches = eval_loader(
            EvalDataset(data.val, task.preprocessing),
            batch_size=plan.batch_size // fabric.world_size,
            rank=fabric.global_rank,
            world_size=fabric.world_size,
            **self.loading,
        )
        self.kept_batches = KeptBatches(self.evaluated, self.val_batches, fabric.device)

    def restore(self) -> TrainState:
        """Load the checkpoint of the interrupted run."""
        # The counts of all ranks were saved as one; the first goes on with them.
        tally = self.train_tally() if self.fabric.is_global_zero else None
        state = restore_checkpoint(
            self.out.checkpoint,
            self.classifier,
            self.average.model if self.average else None,
            self.raw_optimizer,
            self.identity,
            self.fabric.device,
            tally,
        )
        state.tally = tally or self.train_tally()
        self.finite.resumed(state)
        logger.info("resumed from %s at step %d", self.out.checkpoint, state.step)
        return state

    def train(self, state: TrainState, loggers: Loggers, progress: RunProgress, stop: StopRequest) -> None:
        """Step until the end or until asked to stop; validate, log and save on the way."""
        plan = self.plan
        if state.validation_due:
            self.finish_step(state, loggers, progress, stop, check=True, save=True)
        source = self.source()
        if state.step < plan.steps and not source.prepare(stop):
            self.save(state, best=False, checkpoint=True)
            self.leave(state, stop)
        inputs = source.inputs(state.step)
        while state.step < plan.steps and not self.out_of_patience(state):
            gradient_norm = self.step(state, inputs)
            if self.fabric.is_global_zero:
                self.saver.reserve()
            last = state.step == plan.steps
            log, check, save = (last or state.step % n == 0 for n in (plan.log_every, plan.val_every, plan.save_every))
            progress.advance(state.step)
            self.look_for_divergence(state, always=log or check or save)
            if log:
                values = self.training_values(state, gradient_norm)
                loggers.log(state.step, values)
                progress.report(state.step, shown(values))
            self.finish_step(state, loggers, progress, stop, check=check, save=save)
        if self.out_of_patience(state):
            waited = state.patience.waited
            logger.info("%s has not improved in %d validations: ended at step %d", self.watched, waited, state.step)

    def out_of_patience(self, state: TrainState) -> bool:
        """Whether early stopping ends the run here."""
        args = self.config.early_stopping_args
        return args is not None and state.patience.waited >= args.patience

    def finish_step(
        self,
        state: TrainState,
        loggers: Loggers,
        progress: RunProgress,
        stop: StopRequest,
        *,
        check: bool,
        save: bool,
    ) -> None:
        """Validate and save if it is time to, and stop if asked to; a validation may wait for the resumed run."""
        stopping, best = self.asked_to_stop(stop), False
        state.validation_due = check
        if check and not stopping:
            best = self.validate(state, stop)
            stopping = state.validation_due
        if check and not stopping:
            if state.step == self.plan.steps or state.step % self.plan.val_log_every == 0:
                loggers.log(state.step, state.metrics)
            progress.report(state.step, shown(state.metrics), always=True, note="(best)" if best else "")
        ended = self.out_of_patience(state)
        best = best and self.config.save_checkpoint_args.save_best
        self.save(state, best=best, checkpoint=save or stopping or ended)
        if stopping and (state.step < self.plan.steps or state.validation_due):
            self.leave(state, stop)

    def leave(self, state: TrainState, stop: StopRequest) -> None:
        """Obey the request to stop, once everything is on the disk."""
        self.saver.wait()
        logger.info("stopped at step %d; resume_interrupted=True goes on from here", state.step)
        stop.obey()

    def source(self) -> Source:
        """Where the inputs of each step come from."""
        data, plan = self.data, self.plan
        dataset = TrainDataset(data.train, data.augmentation, self.config.seed, self.cache)
        if plan.feature_views is not None:
            preprocessing, folder = self.task.preprocessing, self.out.root
            return FeatureSource(
                self.fabric, self.stream, self.classifier, dataset, preprocessing, self.loading, folder
            )
        num_classes = len(self.task.classes)
        return ImageSource(self.fabric, self.stream, dataset, self.recipe.mixing, num_classes, self.loading)

    def step(self, state: TrainState, inputs: Iterator[Inputs]) -> torch.Tensor:
        """One optimiser step; returns the gradient's norm before clipping, of shape ()."""
        set_train_mode(self.model)
        set_lr(self.optimizer, lr_at(state.step, self.plan))
        self.finite.begin()
        mean_loss = torch.zeros_like(state.loss_sum)
        for part in range(self.plan.accumulation):
            batch = next(inputs)
            # Dropout draws from torch's generator. Seeding it here, after the loader may have drawn from it too, makes
            # dropout a function of the step and not a state.
            torch.manual_seed(pass_seed(self.config.seed, state.step, part, self.fabric.global_rank))
            with self.fabric.no_backward_sync(self.model, enabled=part < self.plan.accumulation - 1):
                logits = self.model(batch.inputs)
                loss = self.recipe.loss(logits, batch.targets).mean()
                self.fabric.backward(loss / self.plan.accumulation)
            if state.tally is not None and (scores := scores_of(logits, self.task.task)).isfinite().all():
                state.tally.update(scores.numpy(), batch.labels.cpu().numpy())
            mean_loss += loss.detach() / self.plan.accumulation
        limit = self.plan.clip_norm or math.inf
        norm = self.fabric.clip_gradients(self.model, self.optimizer, max_norm=limit, error_if_nonfinite=False)
        assert norm is not None
        self.finite.step(self.optimizer, state, mean_loss, norm)
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.update(self.classifier, state.step, "" if self.plan.feature_views is None else "head")
        return norm

    def look_for_divergence(self, state: TrainState, *, always: bool) -> None:
        """Warn of skipped steps.

        Raises:
            TrainingDivergedError: There were many in a row.
        """
        kept = f"{self.out.checkpoint} is from before" if self.out.checkpoint.is_file() else "nothing was saved"
        advice = f"lower model_args.lr (now {self.plan.lr:g}), or look for broken inputs; {kept}"
        self.finite.look(state, partial(self.stream.files, state.step - 1), advice, always=always)

    def training_values(self, state: TrainState, gradient_norm: torch.Tensor) -> dict[str, float]:
        """Values since the last call, which starts the mean of the loss anew."""
        mean = self.fabric.all_reduce(state.loss_sum / state.loss_count, reduce_op="mean")
        assert isinstance(mean, torch.Tensor)
        loss = mean.item()
        state.loss_sum = torch.zeros_like(state.loss_sum)
        state.loss_count = torch.zeros_like(state.loss_count)
        return {
            "train_loss": loss,
            "learning_rate": lr_at(state.step - 1, self.plan),
            "gradient_norm": gradient_norm.item(),
            **self.training_metrics(state),
        }

    def train_tally(self) -> Tally | None:
        """A tally for training batches, None where they are not measured."""
        return make_tally(self.metrics) if self.metrics.train else None

    def training_metrics(self, state: TrainState) -> dict[str, float]:
        """Metrics of the training batches since the last call, which starts them anew."""
        if state.tally is None:
            return {}
        state.tally.reduce(self.ranks)
        values = {f"{TRAIN}{name}": value for name, value in state.tally.values().items()}
        state.tally = self.train_tally()
        return values

    def validate(self, state: TrainState, stop: StopRequest) -> bool:
        """Evaluate, unless asked to stop before the end; returns whether the model is the best so far."""
        evaluated, batches = (
            (self.evaluated, self.val_batches)
            if self.plan.feature_views is None
            else (head_of(self.evaluated), self.kept_batches)
        )
        tally = validate(self.fabric, evaluated, batches, self.metrics, stop)
        if tally is None:
            return False
        self.name_missing(tally)
        state.latest, state.validation_due = Validation(state.step, validation_values(tally), tally.table()), False
        value, before = state.metrics[self.watched], state.best.metrics[self.watched] if state.best else None
        less = self.watched in LESS_IS_BETTER
        best = improves(value, before, less_is_better=less)
        if self.config.early_stopping_args is not None:
            state.patience = state.patience.after(
                value, min_delta=self.config.early_stopping_args.min_delta, less_is_better=less
            )
        if best:
            state.best = state.latest
        return best

    def name_missing(self, tally: Tally) -> None:
        """Tell of the classes that no validation sample has, once; lt-data's index did on the screen."""
        missing = tally.missing()
        if missing and not self.named_missing:
            details.debug("validation: no sample of %s; left out of averages over classes", ", ".join(missing))
        self.named_missing = True

    def save(self, state: TrainState, *, best: bool, checkpoint: bool) -> None:
        """Save what is asked for, on the first rank and in the background."""
        self.saver.look()
        if not (best or checkpoint):
            return
        check_weights(self.classifier, state.step)
        if checkpoint and state.tally is not None:
            state.tally.reduce(self.ranks)
            if not self.fabric.is_global_zero:
                state.tally = self.train_tally()
        if self.fabric.is_global_zero:
            self.saver.save(state, best=best, checkpoint=checkpoint)
        self.fabric.barrier()

    def asked_to_stop(self, stop: StopRequest) -> bool:
        """Whether any rank was: all must stop at the same step."""
        (signal,) = self.ranks.largest(stop.signal)
        stop.agree(signal)
        return signal > 0

    def result(self, state: TrainState) -> TrainResult:
        """What the caller is told, and the report, at the end of a run."""
        asked = self.config.save_checkpoint_args
        assert state.latest is not None
        best = state.best or state.latest
        if self.fabric.is_global_zero:
            write_report(self.out, self.task, self.watched, best, state.latest)
        self.fabric.barrier()
        return TrainResult(
            best_step=best.step,
            best_metrics=best.metrics,
            last_metrics=state.metrics,
            exported_best=self.out.exported_best if asked.save_best and state.best else None,
            exported_last=self.out.exported_last if asked.save_last else None,
            out=self.out.root,
        )


def shown(values: Mapping[str, float]) -> dict[str, float]:
    """Values without those of single classes, which would fill the screen."""
    return {name: value for name, value in values.items() if not is_classwise(name)}
