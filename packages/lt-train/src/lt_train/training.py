"""`fit`: everything around the loop."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import attrs
import torch
from lightning_fabric import Fabric
from rich.console import Console
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lt_data import TaskSpec, write_split
from lt_data.torch import SampleCache, open_cache, sample_grid
from lt_models import Classifier, ModelConfigError, freeze
from lt_train.auto import Plan
from lt_train.checkpoint import Checkpoint
from lt_train.checks import check_batch_norm, check_first_images, check_input_sizes, check_watched
from lt_train.config import TrainConfig
from lt_train.data import TrainData
from lt_train.device_memory import memory_errors
from lt_train.devices import as_launched, check_devices, start_fabric
from lt_train.errors import TrainConfigError
from lt_train.final_test import score_test_split
from lt_train.given import check_parts, checked_config
from lt_train.kept_memory import kept_memory
from lt_train.launched import ending_with_launcher
from lt_train.learner import compile_training
from lt_train.loader_errors import worker_errors
from lt_train.loggers.build import Loggers, check_loggers, open_loggers
from lt_train.loggers.confusion_picture import MOST_CLASSES, confusion_picture
from lt_train.loggers.parameters import resolved_parameters
from lt_train.metrics.build import watched_metric
from lt_train.metrics.plan import LOSS, TEST_LOSS, plan_metrics
from lt_train.metrics_file import drop_values
from lt_train.planning import plan_run
from lt_train.progress import RunProgress
from lt_train.recipe import make_recipe
from lt_train.result import TrainResult
from lt_train.run import Run
from lt_train.run_config import checked_plain, write_run_config
from lt_train.run_folder import RunFolder, remove_if_empty
from lt_train.run_lock import run_lock
from lt_train.run_log import console_log, details, file_log
from lt_train.settings_file import chosen_values, write_settings
from lt_train.signals import StopRequest, stop_request
from lt_train.state import TrainState, Validation

logger = logging.getLogger(__name__)

Page = Callable[[TrainResult, torch.device], "Path | None"]
"""Writes a page about a run, and returns its file, None where there is none."""


def fit(
    *,
    out: RunFolder,
    classifier: Classifier,
    task: TaskSpec,
    data: TrainData,
    config: TrainConfig,
    arguments: Mapping[str, Any] | None = None,
    asked: Mapping[str, Any] | None = None,
    has_weights: bool = False,
    resume: bool = False,
    overwrite: bool = True,
    earlier: Sequence[logging.LogRecord] = (),
    page: Page | None = None,
) -> TrainResult:
    """Train a classifier, multiclass or multilabel as `task` says; `metrics.json` and `per_class.csv` come at the end.

    Where `data` has a test split, the best model is tested when all else is done and on the disk.

    Args:
        out: Folder of the run; `RunFolder.check` has approved of it.
        classifier: The model to train, changed in place.
        task: What it learns; validation follows its preprocessing.
        data: What it learns from.
        config: How; plain dicts in it become what they describe.
        arguments: The user's arguments as plain values, for the log; a resumed run must bring equal ones. None takes
            `config`.
        asked: What starts the same run again, as plain values, for `config.yaml`; None writes none.
        has_weights: Whether the backbone starts from weights, not from random numbers; "auto" settings depend on it.
        resume: Go on from the checkpoint in `out`.
        overwrite: Replace the run that is in `out`; False refuses a folder that another process has filled since it was
            checked.
        earlier: Log records from before, such as which weights were loaded, for `train.log`.
        page: Writes a page about the run. It is called in the first process, with the result and the device that
            validated, when all other files are on the disk and before the loggers end: those that keep the model keep
            the page too.

    Raises:
        ConfigError: A key of `config` is unknown or wrong; lists all of them.
        TrainConfigError: The classifier, the task and the samples do not go together, `metric_args` or the loss asks
            for what the task does not have, `watch_metric` names no metric or one that is never defined for this
            validation split, `class_weights` no class, the batch does not divide over the devices,
            `torch_compile_args` are not torch.compile's, a logger is not installed, an argument is no plain value, the
            model cannot take images of this size, or its batch normalisation, of one image at a time, has a single
            value.
        ResumeError: There is no checkpoint, the interrupted run had other arguments or data, or the file of its best
            model is gone.
        ImageDecodeError: A file is not a whole image, and such files are not to be skipped.
        DatasetError: They are, but too many of a split are such files.
        TrainingDivergedError: The loss or its gradient was not finite in ten steps in a row.
        RunFolderError: Another process is running in `out`, or has run there since `out` was checked; or images lie in
            what an earlier run left there.
        OutOfSpaceError: A file does not fit on the disk.
        LoaderWorkerError: A process that loads images was killed.
        DeviceMemoryError: A GPU has no memory for a single image, or for what several processes do at once.
    """
    config = checked_config(config)
    arguments = checked_plain(attrs.asdict(config) if arguments is None else arguments)
    asked = None if asked is None else checked_plain(asked)
    config = as_launched(config)
    check_parts(classifier, task, data, config.model_args)
    if resume:
        out.check_files(overwrite=False, resume=True)
    check_devices(config)
    compile_training(nn.Identity(), config.torch_compile_args)  # refuses what torch.compile does not take
    recipe = make_recipe(config, task, data.train)
    metrics = plan_metrics(config.metric_args, task.task, task.classes.names)
    watched = watched_metric(config.metric_args.watch_metric, metrics)
    check_watched(watched, metrics, data.val)
    sharded, save_best = config.strategy == "fsdp", config.save_checkpoint_args.save_best
    check_loggers(config.logger_args, save_best=save_best, sharded=sharded)
    fabric = start_fabric(config)
    checkpoint = Checkpoint.read(out.checkpoint) if resume else None
    check_input_sizes(classifier, task, data)
    check_first_images(task, data)
    freeze_part(classifier, config.model_args.backbone_freeze)
    classifier.to(fabric.device)
    fabric.strategy.precision.convert_module(classifier)  # to 64 bits where it learns in them, before it is copied
    plan, reasons, parts = plan_run(fabric, classifier, data, config, checkpoint, has_weights=has_weights)
    check_batch_norm(classifier, data, plan, fabric.world_size)
    with ExitStack() as at_last, ExitStack() as stack:
        stack.enter_context(ending_with_launcher(fabric))
        console = Console(stderr=True, quiet=not fabric.is_global_zero)
        stack.enter_context(console_log(console))
        if fabric.is_global_zero:
            stack.enter_context(run_lock(out.root))
            out.check_files(overwrite=overwrite, resume=resume)
            prepare(out, data, resume=resume)
            stack.enter_context(file_log(out.log, earlier))
            if data.split is not None and not resume:
                write_split(data.split, out.split)
        fabric.barrier()
        cache = stack.enter_context(sample_cache(fabric, data, out))
        run = Run(fabric, classifier, task, data, config, plan, recipe, out, metrics, watched, arguments, cache)
        state = run.restore(checkpoint) if checkpoint else run.fresh_state(parts)
        checkpoint = None  # its weights need not stay in memory
        log_arguments(fabric, arguments, plan, reasons, task)
        if run.ended(state):
            logger.info("the run has had its last step, %d: nothing is left to train", state.step)
        else:
            log_training(fabric, plan, data, task)
        warn_of_surprises(fabric, classifier, plan, config, len(data.train))
        if fabric.is_global_zero:
            chosen = chosen_values(fabric, classifier.spec, task, data.augmentation.preprocessing, metrics, watched)
            write_settings(out.settings, fabric, arguments, plan, reasons, chosen)
            _begin_files(out, state, asked, resume=resume)
        loggers = stack.enter_context(
            open_loggers(config.logger_args, out, resume_step=state.step, enabled=fabric.is_global_zero)
        )
        if not resume:
            log_start(loggers, arguments, plan, run)
        progress = RunProgress(console, first=state.step, total=plan.steps)
        stop = stack.enter_context(stop_request())
        if fabric.device.type == "cpu":
            stack.enter_context(kept_memory())
        with progress.shown(), worker_errors(at_last), memory_errors(), run.saver.closing(stop):
            run.train(state, loggers, progress, stop)
        with worker_errors(at_last), memory_errors():
            result = _end(run, state, loggers, stop)
        del run, state  # moments and gradients: their memory is free for the page
        if page is not None and fabric.is_global_zero:
            if not sharded:
                classifier.to("cpu")
            result = _with_page(page, result, fabric.device, loggers)
    return result


def prepare(out: RunFolder, data: TrainData, *, resume: bool) -> None:
    """Remove what an earlier run must not leave to this one.

    Raises:
        RunFolderError: That would remove images of this one; nothing was removed.
    """
    if resume:
        out.remove_temporary()
        return
    out.prepare(used=_image_folders(data) if out.wandb_runs() else ())


def _image_folders(data: TrainData) -> set[Path]:
    splits = [split for split in (data.train, data.val, data.test) if split is not None]
    return {split.path(i).parent for split in splits for i in range(len(split))}


def _begin_files(out: RunFolder, state: TrainState, asked: Mapping[str, Any] | None, *, resume: bool) -> None:
    """What a new run is asked for; a resumed one drops the values that it will log again."""
    if resume:
        for name in (*([LOSS] if state.validation_due else []), TEST_LOSS):
            drop_values(out.metrics, state.step, name)
    elif asked is not None:
        write_run_config(out.config, asked)


def _end(run: Run, state: TrainState, loggers: Loggers, stop: StopRequest) -> TrainResult:
    """Test where there is a test split, and hand everything to the loggers; but for the test, signals act at once."""
    run.report(state)
    test: Validation | None = None
    if run.data.test is not None:
        test = score_test_split(run, state, run.data.test, stop)
    stop.obey_at_once()
    if test is not None:
        loggers.log(state.step, test.metrics)
        run.report(state, test)
    result = run.result(state, test)
    log_result(result, run.watched)
    log_end(loggers, state, run, result)
    return result


def _with_page(page: Page, result: TrainResult, device: torch.device, loggers: Loggers) -> TrainResult:
    file = page(result, device)
    if file is None:
        return result
    loggers.report(file)
    return attrs.evolve(result, report=file)


def log_start(loggers: Loggers, arguments: Mapping[str, Any], plan: Plan, run: Run) -> None:
    """Hand the loggers what does not change while a run goes on."""
    data, classes, seed = run.data, run.task.classes, run.config.seed
    loggers.parameters(resolved_parameters(arguments, plan))
    loggers.picture(
        0,
        "training_samples",
        lambda: sample_grid(data.train, classes, data.augmentation, run.task.preprocessing, seed=seed),
    )
    loggers.graph(run.classifier, run.task.preprocessing)


def log_end(loggers: Loggers, state: TrainState, run: Run, result: TrainResult) -> None:
    """Hand the loggers the confusions of the best and the last validation, and the files of the run."""
    names = run.task.classes.names
    for name, validation in (("best", state.best), ("last", state.latest)):
        if validation is not None and run.task.task == "multiclass" and len(names) <= MOST_CLASSES:
            draw = partial(confusion_picture, validation.table.confusion_matrix(), names)
            loggers.picture(validation.step, f"confusion/{name}", draw)
    test = [run.out.test_per_class] if result.test_metrics is not None else []
    loggers.files((run.out.report, run.out.per_class, *test, run.out.log), result.exported_best)
    loggers.have_all = True


def log_result(result: TrainResult, watched: str) -> None:
    """Close the log with what was reached and where it is."""
    value = result.best_metrics.get(watched, float("nan"))
    logger.info("done: best %s %.4g at step %d", watched, value, result.best_step)
    for file in (result.exported_best, result.exported_last):
        if file is not None:
            logger.info("model: %s", file)


def freeze_part(classifier: Classifier, asked: bool | int | str) -> None:
    """Freeze what `model_args.backbone_freeze` names.

    Raises:
        TrainConfigError: The backbone has not so many blocks.
    """
    part = ("backbone" if asked else None) if isinstance(asked, bool) else asked
    try:
        freeze(classifier, part)
    except ModelConfigError as error:
        raise TrainConfigError(f"model_args.backbone_freeze: {error}") from error


@contextmanager
def sample_cache(fabric: Fabric, data: TrainData, out: RunFolder) -> Iterator[SampleCache | None]:
    """The cache that `data` asks for, gone at the end of the run; what a killed run left is removed.

    Raises:
        TrainConfigError: It cannot be made.
    """
    if data.cache is None:
        yield None
        return
    spec, limit = data.augmentation.preprocessing, round(data.cache_limit_gb * 1e9)
    # Each process makes a file of its own, in a folder that all of them, or those of one node, share.
    if fabric.local_rank == 0:
        out.remove_cache()
    fabric.barrier()
    with ExitStack() as stack:
        stack.callback(remove_if_empty, out.cache)
        try:
            cache = stack.enter_context(open_cache(data.cache, out.cache, len(data.train), spec, limit))
        except OSError as error:
            raise TrainConfigError(f"data.cache: {error}") from error
        yield cache


def log_arguments(
    fabric: Fabric,
    arguments: Mapping[str, Any],
    plan: Plan,
    reasons: Mapping[str, str],
    task: TaskSpec,
) -> None:
    """Log everything that decides the run, before its first step; the screen gets the short of it, `log_training`."""
    details.debug("arguments: %s", json.dumps(arguments, indent=2, ensure_ascii=False))
    details.debug("versions: %s", ", ".join(f"{name} {version(name)}" for name in ("lt-train", "torch", "timm")))
    details.debug("resolved: %s", json.dumps(attrs.asdict(plan), indent=2))
    for name, reason in reasons.items():
        details.debug("auto: %s: %s", name, reason)
    details.debug(
        "auto: devices, strategy, precision: %d x %s on %d nodes, %s, %s",
        fabric.world_size,
        fabric.device.type,
        getattr(fabric.strategy, "num_nodes", 1),
        type(fabric.strategy).__name__,
        fabric.strategy.precision.precision,
    )
    details.debug("classes: %s", json.dumps(task.classes.as_dict(), ensure_ascii=False))
    details.debug("validation, predict and the edge: %s", task.preprocessing)


def log_training(fabric: Fabric, plan: Plan, data: TrainData, task: TaskSpec) -> None:
    """Say what begins: where, from how many images, and in how many steps."""
    logger.info(
        "training on %d x %s in %s: %d images, %d for validation, %d classes; %d steps of %d images, rate %.2g",
        fabric.world_size,
        fabric.device.type,
        fabric.strategy.precision.precision,
        len(data.train),
        len(data.val),
        len(task.classes),
        plan.steps,
        plan.batch_size * plan.accumulation,
        plan.lr,
    )


def warn_of_surprises(
    fabric: Fabric, classifier: Classifier, plan: Plan, config: TrainConfig, num_samples: int
) -> None:
    """Say what is as asked for and still seldom meant."""
    if config.model_args.class_weights == "balanced" and config.model_args.sampler == "balanced":
        logger.warning("class_weights and sampler both balance the classes: together they do it twice")
    if plan.batch_size > num_samples:
        logger.warning(
            "batch_size %d is more than the %d training images: each step sees some of them several times",
            plan.batch_size,
            num_samples,
        )
    normalised_by_batch = any(isinstance(module, _BatchNorm) for module in classifier.modules())
    if fabric.world_size > 1 and normalised_by_batch and plan.feature_views is None:
        logger.warning(
            "batch normalisation sees the %d images of one process at a time: the result is not that of one process "
            "with all %d",
            plan.batch_size // fabric.world_size,
            plan.batch_size,
        )
