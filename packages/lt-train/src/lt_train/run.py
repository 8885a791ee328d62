"""One run: its parts, and the loop over them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import attrs
import torch
from lightning_fabric import Fabric

from lt_data import TaskSpec, plain_values
from lt_data.torch import EvalDataset, SampleCache, TrainDataset, eval_loader
from lt_models import Classifier
from lt_train.auto import Plan
from lt_train.bad_images import count_together, shared_bad_images
from lt_train.checkpoint import Checkpoint
from lt_train.config import LoaderArgs, TrainConfig
from lt_train.data import TrainData
from lt_train.device_memory import smaller_parts
from lt_train.devices import inputs_of_one_shape, matmul_precision
from lt_train.features import FeatureSource, KeptBatches
from lt_train.learner import Learner
from lt_train.loggers.build import Loggers
from lt_train.metrics.build import is_classwise, make_tally
from lt_train.metrics.plan import LESS_IS_BETTER, TRAIN, MetricPlan
from lt_train.metrics.tally import Tally
from lt_train.optim import lr_at
from lt_train.progress import RunProgress
from lt_train.ranks import FabricRanks
from lt_train.recipe import Recipe
from lt_train.result import TrainResult
from lt_train.run_folder import RunFolder
from lt_train.run_log import details
from lt_train.run_report import write_report
from lt_train.saving import Saver, check_weights, complete_exports
from lt_train.signals import StopRequest
from lt_train.sources import ImageSource, Inputs, Source, Stream
from lt_train.state import TrainState, Validation, is_best
from lt_train.validate import validate, validation_values, warn_of_scores

logger = logging.getLogger(__name__)


def loading_arguments(args: LoaderArgs, num_workers: int, device: torch.device) -> dict[str, Any]:
    """What both loaders are given; arguments of workers only where there are any."""
    pin_memory = device.type == "cuda" if args.pin_memory == "auto" else args.pin_memory
    loading: dict[str, Any] = {"num_workers": num_workers, "pin_memory": pin_memory, "give_way": device.type == "cpu"}
    if num_workers > 0:
        loading["prefetch_factor"] = args.prefetch_factor
        loading["timeout"] = args.timeout
        loading["multiprocessing_context"] = args.multiprocessing_context
    return loading


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
        self.batch_size = plan.batch_size
        self.identity = {
            **arguments,
            "train_files": data.train.fingerprint(),
            "val_files": data.val.fingerprint(),
            **({} if data.test is None else {"test_files": data.test.fingerprint()}),
            "task_spec": json.loads(task.to_json()),
            "train_preprocessing": attrs.asdict(data.augmentation.preprocessing),
            "augmentation": plain_values(attrs.asdict(data.augmentation.transforms)),
            "classifier": attrs.asdict(classifier.spec),
            "world_size": fabric.world_size,
        }
        self.classifier = classifier
        self.learner = Learner(fabric, classifier, task, config, plan, recipe)
        self.stream = Stream(data.train, plan, config.seed, recipe.draws)
        self.loading = {
            **loading_arguments(config.loader_args, plan.num_workers, fabric.device),
            "on_bad_image": data.on_bad_image,
        }
        self.bad_images = shared_bad_images(data.on_bad_image, len(data.train), self.ranks)
        export_last = config.save_checkpoint_args.save_last
        self.saver = Saver(out, task, classifier.spec, self.identity, export_last=export_last)
        self.val_batches = eval_loader(
            EvalDataset(data.val, task.preprocessing),
            batch_size=plan.batch_size // fabric.world_size,
            rank=fabric.global_rank,
            world_size=fabric.world_size,
            bad_images=shared_bad_images(data.on_bad_image, len(data.val), self.ranks),
            **self.loading,
        )
        self.kept_batches = KeptBatches(self.learner.evaluated, self.val_batches, fabric.device)

    def fresh_state(self, parts: int) -> TrainState:
        """The state before the first step, each forward pass split into so many parts."""
        state = TrainState.fresh(self.fabric.device, self.train_tally())
        self.split(state, parts)
        return state

    def restore(self, checkpoint: Checkpoint) -> TrainState:
        """Go on from the checkpoint of the interrupted run.

        Raises:
            ResumeError: It had other arguments or data, or its best model is gone.
            ModelFileError: The file is damaged.
        """
        checkpoint.check(self.identity)
        # The counts of all ranks were saved as one; the first goes on with them.
        tally = self.train_tally() if self.fabric.is_global_zero else None
        state = checkpoint.restore(self.learner, self.fabric.device, self.fabric.global_rank, tally)
        state.tally = tally or self.train_tally()
        if self.fabric.is_global_zero:
            complete_exports(self.out, checkpoint.model, state, self.config.save_checkpoint_args)
        self.learner.finite.resumed(state)
        self.take_parts(state.split)
        logger.info("resumed from %s at step %d", self.out.checkpoint, state.step)
        return state

    def split(self, state: TrainState, parts: int) -> None:
        """Split each forward pass into more, for lack of memory; a step learns from the same images as before."""
        if parts == 1:
            return
        before = self.plan.batch_size
        self.take_parts(parts)
        state.split *= parts
        logger.warning(
            "step %d: %d images at once do not fit in memory; from here %d at once, %d times a step",
            state.step,
            before,
            self.plan.batch_size,
            self.plan.accumulation,
        )

    def take_parts(self, parts: int) -> None:
        """Go on with so many times as many forward passes a step."""
        self.plan = self.plan.split(parts)
        self.stream = attrs.evolve(self.stream, plan=self.plan)

    def train(self, state: TrainState, loggers: Loggers, progress: RunProgress, stop: StopRequest) -> None:
        """Step until the end or until asked to stop; validate, log and save on the way."""
        plan = self.plan
        if state.validation_due:
            self.finish_step(state, loggers, progress, stop, check=True, save=True)
        source = self.source()
        if not self.ended(state) and not source.prepare(stop):
            self.save(state, best=False)
            self.leave(state, stop)
        inputs = source.inputs(self.stream, state.step)
        while not self.ended(state):
            gradient_norm = self.step(state, inputs)
            if gradient_norm is None:
                self.split(state, smaller_parts(self.plan.batch_size))
                inputs = source.inputs(self.stream, state.step)
                continue
            if self.fabric.is_global_zero and not self.learner.sharded:
                self.saver.reserve(self.learner.snapshot)
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
            assert self.config.early_stopping_args is not None
            least, waited = self.config.early_stopping_args.min_delta, state.patience.waited
            logger.info(
                "%s has not improved by more than %g in %d validations: ended at step %d",
                self.watched,
                least,
                waited,
                state.step,
            )

    def ended(self, state: TrainState) -> bool:
        """Whether no step is left to take."""
        return state.step >= self.plan.steps or self.out_of_patience(state)

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
            if self.ended(state) or state.step % self.plan.val_log_every == 0:
                loggers.log(state.step, state.metrics)
            progress.report(state.step, shown(state.metrics, self.watched), always=True, note="(best)" if best else "")
        ended = self.out_of_patience(state)
        best = best and self.config.save_checkpoint_args.save_best
        self.saver.look()
        if save or stopping or ended or best:
            self.save(state, best=best)
        if stopping and (state.step < self.plan.steps or state.validation_due):
            self.leave(state, stop)

    def leave(self, state: TrainState, stop: StopRequest) -> None:
        """Obey the request to stop, once everything is on the disk."""
        self.saver.wait()
        said = f"stopped at step {state.step}; `resume_interrupted` goes on from here"
        logger.info(said)
        stop.obey(said)

    def source(self) -> Source:
        """Where the inputs of each step come from."""
        data, plan = self.data, self.plan
        dataset = TrainDataset(data.train, data.augmentation, self.config.seed, self.cache)
        loading = {**self.loading, "bad_images": self.bad_images}
        if plan.feature_views is not None:
            preprocessing, folder = self.task.preprocessing, self.out.root
            return FeatureSource(self.fabric, plan, self.classifier, dataset, preprocessing, loading, folder)
        num_classes = len(self.task.classes)
        return ImageSource(self.fabric, dataset, self.recipe.mixing, num_classes, loading)

    def step(self, state: TrainState, inputs: Iterator[Inputs]) -> torch.Tensor | None:
        """One optimiser step; returns the gradient's norm before clipping, of shape (), None for lack of memory."""
        with matmul_precision(self.config.float32_matmul_precision), inputs_of_one_shape(self.fabric.device):
            return self.learner.step(state, inputs, self.plan)

    def look_for_divergence(self, state: TrainState, *, always: bool) -> None:
        """Warn of skipped steps.

        Raises:
            TrainingDivergedError: There were many in a row.
        """
        self.learner.finite.look(state, partial(self.stream.files, state.step - 1), self.advice, always=always)

    def advice(self) -> str:
        """What to do about a run that diverges."""
        kept = f"{self.out.checkpoint} is from before" if self.out.checkpoint.is_file() else "nothing was saved"
        asked, peak = self.config.model_args.lr, self.plan.lr
        scaled = "" if asked == peak else f", {peak:g} at this batch size"
        return f"lower model_args.lr (now {asked:g}{scaled}), or look for broken inputs; {kept}"

    def training_values(self, state: TrainState, gradient_norm: torch.Tensor) -> dict[str, float]:
        """Values since the last call, which starts the mean of the loss anew."""
        loss = self.ranks.total(state.loss_sum / state.loss_count).item() / self.fabric.world_size
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
        kept = self.plan.feature_views is not None
        batches = self.kept_batches if kept else self.val_batches
        spare = self.spare_input() if self.learner.sharded else None
        tally = validate(self.fabric, self.learner.judged, batches, self.metrics, stop, spare)
        count_together(self.val_batches.bad_images, self.ranks)
        if tally is None:
            return False
        self.name_missing(tally)
        warn_of_scores(tally, "validation", state.step)
        state.latest, state.validation_due = Validation(state.step, validation_values(tally), tally.table()), False
        best = is_best(state.latest, state.best, self.watched)
        if self.config.early_stopping_args is not None:
            state.patience = state.patience.after(
                state.metrics[self.watched],
                min_delta=self.config.early_stopping_args.min_delta,
                less_is_better=self.watched in LESS_IS_BETTER,
            )
        if best:
            state.best = state.latest
        return best

    def spare_input(self) -> torch.Tensor:
        """One input of the module that is validated, of zeros."""
        if self.plan.feature_views is not None:
            return torch.zeros(1, self.classifier.num_features)
        images = self.task.preprocessing
        return torch.zeros(1, images.num_channels, *images.image_size)

    def name_missing(self, tally: Tally) -> None:
        """Tell of the classes that no validation sample has, once; lt-data's index did on the screen."""
        missing = tally.missing()
        if missing and not self.named_missing:
            details.debug("validation: no sample of %s; left out of averages over classes", ", ".join(missing))
        self.named_missing = True

    def save(self, state: TrainState, *, best: bool) -> None:
        """Save a checkpoint and what is exported with it, on the first rank and in the background."""
        check_weights(self.classifier, state.step, self.ranks)
        loss_sums = self.ranks.each(state.loss_sum)
        if state.tally is not None:
            state.tally.reduce(self.ranks)
            if not self.fabric.is_global_zero:
                state.tally = self.train_tally()
        if self.fabric.is_global_zero or self.learner.sharded:
            saved = self.learner.snapshot()
        if self.fabric.is_global_zero:
            self.saver.save(state, saved, loss_sums, self.batch_size, best=best)
        self.fabric.barrier()

    def asked_to_stop(self, stop: StopRequest) -> bool:
        """Whether any rank was: all must stop at the same step. What any could not read is counted here too."""
        signal, bad = self.ranks.largest(stop.signal, self.bad_images.num_new)
        if bad:
            count_together(self.bad_images, self.ranks)
        stop.agree(signal)
        return signal > 0

    def report(self, state: TrainState, test: Validation | None = None) -> None:
        """Write the report, at the end of a run."""
        assert state.latest is not None
        if self.fabric.is_global_zero:
            write_report(self.out, self.task, self.watched, state.best or state.latest, state.latest, test)
        self.fabric.barrier()

    def result(self, state: TrainState, test: Validation | None = None) -> TrainResult:
        """What the caller is told."""
        asked = self.config.save_checkpoint_args
        assert state.latest is not None
        best = state.best or state.latest
        return TrainResult(
            best_step=best.step,
            best_metrics=best.metrics,
            last_metrics=state.metrics,
            exported_best=self.out.exported_best if asked.save_best and state.best else None,
            exported_last=self.out.exported_last if asked.save_last else None,
            out=self.out.root,
            test_metrics=test.metrics if test else None,
        )


def shown(values: Mapping[str, float], watched: str | None = None) -> dict[str, float]:
    """Values without those of single classes, which would fill the screen, but for the one that decides."""
    return {name: value for name, value in values.items() if name == watched or not is_classwise(name)}
