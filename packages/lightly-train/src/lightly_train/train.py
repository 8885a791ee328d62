"""`train_image_classification`: from the user's arguments to a trained, exported model."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import attrs

from lightly_train.arguments import Arguments, is_model_file, read_arguments

if TYPE_CHECKING:
    import torch

    from lt_data import DatasetIndex, Preprocessing, ResolvedTransforms, TaskSpec
    from lt_data.torch import Augmentation
    from lt_models import Classifier
    from lt_train import ExportedModel, RunFolder, TrainResult

logger = logging.getLogger(__name__)


def train_image_classification(
    *,
    out: str | os.PathLike[str],
    data: Mapping[str, Any] | str | os.PathLike[str],
    model: str | os.PathLike[str],
    classification_task: Literal["multiclass", "multilabel"] = "multiclass",
    model_args: Mapping[str, Any] | None = None,
    steps: int | Literal["auto"] = "auto",
    epochs: float | None = None,
    batch_size: int | Literal["auto"] = "auto",
    gradient_accumulation_steps: int | Literal["auto"] = "auto",
    num_workers: int | Literal["auto"] = "auto",
    devices: int | str | Sequence[int] = "auto",
    num_nodes: int = 1,
    accelerator: str = "auto",
    strategy: str = "auto",
    precision: str = "auto",
    float32_matmul_precision: str = "auto",
    seed: int = 0,
    resume_interrupted: bool = False,
    overwrite: bool = False,
    reuse_class_head: bool = False,
    logger_args: Mapping[str, Any] | None = None,
    transform_args: Mapping[str, Any] | None = None,
    metric_args: Mapping[str, Any] | None = None,
    save_checkpoint_args: Mapping[str, Any] | None = None,
    early_stopping_args: Mapping[str, Any] | None = None,
    torch_compile_args: Mapping[str, Any] | None = None,
    loader_args: Mapping[str, Any] | None = None,
    **unknown: NoReturn,
) -> TrainResult:
    """Train an image classifier.

    Everything is checked before the first step: keys, folders, classes, model name and file, metric.

    Args:
        out: Run folder, outside the folders of images; refused when it exists and is not empty, unless `overwrite` or
            `resume_interrupted`.
        data: `train` and `val` folders, each with one folder of images a class, or `train_csv` and `val_csv` files, or
            `val` as a share of the training samples; `classes`, a dict from class ID to name (None: the names in the
            training data); `ignore_classes`, IDs or names; see `lt_data.DataConfig`. `test` or `test_csv`: a split
            that the best model is tested with at the end. Or the path of a YAML file with these keys, or of a folder
            with folders `train` and `val`, and `test` if there is one.
        model: A name such as `timm/resnet18` (see `list_models`), or the path of an exported model or checkpoint to
            start from.
        classification_task: `"multiclass"`, each image has one class; `"multilabel"`, each has any number, which needs
            `train_csv` and `val_csv` (or a share of the first).
        model_args: The model: `backbone_freeze`, `backbone_weights`, `backbone_args`, `pooling`, `head`,
            `head_dropout`, `drop_path_rate`. Its optimisation: `lr`, `weight_decay`, `lr_warmup_steps`,
            `gradient_clip_val`, `layer_decay`, `ema_decay`. What it learns: `loss`, `label_smoothing`, `class_weights`,
            `sampler`, `mixup_alpha`, `cutmix_alpha`. See `lt_train.ModelArgs`.
        steps: Optimiser steps; auto depends on the size of the data set, and the log gives the reason.
        epochs: Passes over the training data, instead of `steps`.
        batch_size: Images of one forward pass over all devices and nodes; auto is 16, on GPUs the largest that fits in
            memory, at most 256 on each and at least 20 batches an epoch. One that does not fit is split, and said.
        gradient_accumulation_steps: Forward passes of one optimiser step.
        num_workers: Processes that load images, per device. The result does not depend on it.
        devices: Their number or their indices, as Lightning Fabric takes it; auto is all GPUs, or what torchrun has
            started.
        num_nodes: Number of machines.
        accelerator: `"cpu"`, `"gpu"`, `"mps"` or `"auto"`.
        strategy: `"ddp"`, or `"fsdp"` for models whose optimiser is too large for one GPU; auto is ddp with several
            devices.
        precision: `"bf16-mixed"`, `"16-mixed"`, `"32-true"`; auto is bf16-mixed where a GPU has it, else 32-true.
        float32_matmul_precision: `"highest"`, `"high"`, `"medium"`, or `"auto"` to leave torch's setting. It holds
            for the steps; validation, test and report keep what the program has, as `predict` does.
        seed: Seed of everything random: same seed, same weights.
        resume_interrupted: Go on from the checkpoint in `out`; the other arguments must equal the run's.
        overwrite: Replace the run in `out`; files that no run has written stay.
        reuse_class_head: When `model` is a file: keep the head's rows of classes whose name stays.
        logger_args: `log_every_num_steps`, `val_every_num_steps`, `val_log_every_num_steps`, and a key for each logger:
            `tensorboard`, `jsonl` (on), `mlflow`, `wandb` (off); see `lt_train.LoggerArgs`.
        transform_args: `image_size`, `num_channels`, `normalize`, `resize_mode`, `random_crop`, `random_flip`,
            `color_jitter`, `rand_augment` and more, `val`; see `lt_data.TransformConfig`. None turns a transform off.
        metric_args: `watch_metric`, `classwise`, `train`, `threshold`, and a key for each metric, such as `accuracy`,
            `f1`, `auroc`; None turns a metric off. See `lt_train.MetricArgs`.
        save_checkpoint_args: `save_every_num_steps`, `save_last`, `save_best`; see `lt_train.SaveCheckpointArgs`.
        early_stopping_args: `patience`, `min_delta`; see `lt_train.EarlyStoppingArgs`. None trains to the last step.
        torch_compile_args: Arguments of `torch.compile` for the training pass, `{}` for its defaults; None is off.
        loader_args: `prefetch_factor`, `timeout`, `multiprocessing_context`, `pin_memory` of the PyTorch DataLoader;
            see `lt_train.LoaderArgs`.
        unknown: Takes nothing: a name that is none of these is reported with all that is wrong.

    Returns:
        Best step, best and last metrics, those of the test, and the paths of the exported models and of `report.html`.
        The report is None where it could not be made, which the log tells with the reason, and in processes other than
        the first.

    Raises:
        ConfigError: Lists every argument and key that is unknown or wrong, with its full path.
        DatasetError: Lists everything in which the folders differ from `data`.
        UnknownModelError: No model has that name; names the five nearest.
        WeightsError: Pretrained weights cannot be had.
        ModelFileError: `model` is a file that is not ours. Nothing in it is executed.
        RunFolderError: `out` is in use, or `overwrite` would remove what `data` names.
        ResumeError: There is nothing to resume, or an argument differs; names it.
        TrainConfigError: `watch_metric` names no metric, a metric is asked for that the task does not have, a
            logger is not installed, or the batch does not divide over the devices.
        TrainingDivergedError: The loss or its gradient was not finite in ten steps in a row; names the images.
        OutOfSpaceError: A file does not fit on the disk; what was saved before is intact.
        LoaderWorkerError: A process that loads images was killed.
        DeviceMemoryError: A GPU has no memory for a single image, or for what several processes do at once.
        MainGuardError: Processes that load images are started by importing the script again, as on Windows and macOS,
            and it trains outside of `if __name__ == "__main__":`.
    """
    given = dict(locals())
    given |= given.pop("unknown")
    from lt_train import leave_on_signals

    with leave_on_signals():
        return run(read_arguments(given))


def run(arguments: Arguments) -> TrainResult:
    """Check, build and train what `arguments` describe."""
    from lt_train import check_devices, check_main_guard

    check_main_guard(arguments.training.num_workers, arguments.training.loader_args.multiprocessing_context)
    with collector_at_rest():
        check_devices(arguments.training)
        from rich.console import Console

        from lt_data import TaskSpec, build_index, data_paths
        from lt_data.torch import Augmentation
        from lt_train import RunFolder, TrainData, console_log, first_process, fit, kept_log

        folder = RunFolder(Path(arguments.out))
        folder.check(
            overwrite=arguments.overwrite, resume=arguments.resume_interrupted, used=data_paths(arguments.data)
        )
        with console_log(Console(stderr=True, quiet=not first_process())), kept_log() as earlier:
            interrupted = load_interrupted(arguments, folder)
            start = interrupted.model if interrupted else load_start(arguments.model)
            index = build_index(arguments.data, arguments.classification_task)
            transforms = interrupted.transforms if interrupted else find_transforms(arguments, start)
            task = TaskSpec(task=arguments.classification_task, classes=index.classes, preprocessing=transforms.val)
            augmentation = Augmentation.from_config(arguments.transform_args, transforms.train)
            classifier = build_classifier(arguments, start, index, transforms.train)
    return fit(
        out=folder,
        classifier=classifier,
        task=task,
        data=TrainData(
            train=index.train,
            val=index.val,
            test=index.test,
            augmentation=augmentation,
            on_bad_image=arguments.data.on_bad_image,
            cache=arguments.data.cache,
            cache_limit_gb=arguments.data.cache_limit_gb,
            split=index if isinstance(arguments.data.val, float) else None,
        ),
        config=arguments.training,
        arguments=arguments.given,
        asked=arguments.asked,
        has_weights=starts_from_weights(arguments, start),
        resume=arguments.resume_interrupted,
        overwrite=arguments.overwrite,
        earlier=earlier,
        page=partial(write_page, arguments, index, task, augmentation),
    )


def write_page(
    arguments: Arguments,
    index: DatasetIndex,
    task: TaskSpec,
    augmentation: Augmentation,
    result: TrainResult,
    device: torch.device,
) -> Path | None:
    """Write the report; what goes wrong with it does not touch the result."""
    from lightly_train.report.gather import FinishedRun
    from lightly_train.report.write import write_report

    return write_report(
        FinishedRun(
            arguments=arguments, result=result, index=index, task=task, augmentation=augmentation, device=device
        )
    )


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Let Python's garbage collector rest: it takes a fifth of importing PyTorch and timm, and finds nothing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            # What is there now is old at once, instead of being searched three times on its way.
            if not gc.get_freeze_count():
                gc.freeze()
                gc.unfreeze()
            gc.enable()


@attrs.frozen
class Interrupted:
    """What a run has made of the file that it started from, which may be gone by now, or its own.

    Attributes:
        model: As of the last checkpoint.
        transforms: Of training and validation.
    """

    model: ExportedModel
    transforms: ResolvedTransforms


def load_interrupted(arguments: Arguments, folder: RunFolder) -> Interrupted | None:
    """The run to go on with where it has started from a file; None for a new run, and for one from a name.

    Raises:
        ModelFileError: The checkpoint is damaged.
    """
    from lt_data import ResolvedTransforms
    from lt_train import interrupted_run

    if not (arguments.resume_interrupted and is_model_file(arguments.model)):
        return None
    model, train = interrupted_run(folder)
    return Interrupted(model, ResolvedTransforms(train, model.task.preprocessing))


def load_start(model: str) -> ExportedModel | None:
    """The exported model to start from, None when `model` is a name.

    Raises:
        ModelFileError: `model` is a file that is not ours.
        UnknownModelError: `model` is a name that no model has.
    """
    from lt_models import check_name
    from lt_train import load_exported

    if is_model_file(model):
        return load_exported(Path(model))
    check_name(model)
    return None


def starts_from_weights(arguments: Arguments, start: ExportedModel | None) -> bool:
    """Whether the backbone has learnt something before, elsewhere."""
    from lt_models import parse_name

    given = start is not None or arguments.training.model_args.backbone_weights is not None
    return given or parse_name(arguments.model).pretrained


def find_transforms(arguments: Arguments, start: ExportedModel | None) -> ResolvedTransforms:
    """What the user leaves open follows the model; files that are read otherwise than for it are warned of."""
    from lt_data import resolve_transforms

    preprocessing = model_preprocessing(arguments.model, start)
    if start is not None and preprocessing.decoding != arguments.data.decoding:
        logger.warning(
            "files are read otherwise than for the model to start from: %s; it had %s",
            arguments.data.decoding,
            preprocessing.decoding,
        )
    return resolve_transforms(arguments.transform_args, preprocessing, arguments.data.decoding)


def model_preprocessing(model: str, start: ExportedModel | None) -> Preprocessing:
    """What the model was made for: the exported model's own preprocessing, or the published card's."""
    from lt_data import Preprocessing
    from lt_models import model_input

    if start is not None:
        return start.task.preprocessing
    card = model_input(model)
    return Preprocessing(
        image_size=card.image_size,
        mean=card.mean,
        std=card.std,
        interpolation=card.interpolation,
        resize_scale=max(1.0, card.resize_scale),
        resize_mode=card.resize_mode,
    )


def build_classifier(
    arguments: Arguments, start: ExportedModel | None, index: DatasetIndex, train: Preprocessing
) -> Classifier:
    """The classifier before the first step; its random weights depend on the seed only."""
    import torch

    from lt_models import ClassifierSpec, build_classifier

    asked, before = arguments.training.model_args, start.spec if start else None
    spec = ClassifierSpec(
        model=before.model if before else arguments.model,
        num_classes=len(index.classes),
        num_channels=train.num_channels,
        image_size=train.image_size,
        pooling=before.pooling if before and asked.pooling == "auto" else asked.pooling,
        head=(before.head if before else "linear") if asked.head == "auto" else asked.head,
        head_dropout=asked.head_dropout,
        drop_path_rate=asked.drop_path_rate,
        backbone_args=(before.backbone_args if before else {}) if asked.backbone_args is None else asked.backbone_args,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(arguments.training.seed)
        # A resumed run takes all weights from its checkpoint.
        has_weights = start is not None or arguments.resume_interrupted
        classifier = build_classifier(
            spec,
            pretrained=False if has_weights else None,
            backbone_weights=None if has_weights else asked.backbone_weights,
        )
    if start is not None and not arguments.resume_interrupted:
        from lightly_train.transfer import transfer

        transfer(start, classifier, index.classes, reuse_head=arguments.reuse_class_head)
    return classifier
