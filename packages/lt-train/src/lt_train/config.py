"""What can be set about training."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Literal, get_args

import attrs

from lt_data import STRUCTURE, ConfigError, Problem, above, at_least, between, listed
from lt_train.loggers.config import LoggerArgs
from lt_train.metrics.config import MetricArgs

Auto = Literal["auto"]
Strategy = Literal["auto", "ddp", "ddp_find_unused_parameters_true", "fsdp"]
Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed", "64-true"]
SHORT_PRECISION = {"32": "32-true", "64": "64-true", "16": "16-mixed", "bf16": "bf16-mixed"}
"""What Lightning Fabric still takes by shorter names, of which it warns."""


def _of_64_bits(instance: object, attribute: attrs.Attribute[int], value: int) -> None:
    """PyTorch's generators take no more."""
    if value >= 2**64:
        raise ValueError(f"{attribute.name} must be below 2**64, got {value}")


def _precision(value: Any) -> Any:
    """One of `Precision`, also from a number or a short name."""
    name = SHORT_PRECISION.get(str(value), value)
    if isinstance(value, bool) or name not in get_args(Precision):
        raise ValueError(f"expected one of {listed([repr(one) for one in get_args(Precision)])}, got {value!r}")
    return name


def _device_list(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    """What Lightning Fabric takes, which tells less of what is wrong."""
    if isinstance(value, tuple):
        fine = bool(value) and all(index >= 0 for index in value) and len(set(value)) == len(value)
    else:
        fine = value == "auto" or re.fullmatch(r"-1|[1-9]\d*|\d+(,\s*\d+)+,?|\d+,", str(value)) is not None
    if not fine:
        raise ValueError(
            "devices must be how many (at least 1, or -1 for all), or the indices of GPUs, such as [0, 1], each once; "
            f"got {value!r}; which kind of device is said by `accelerator`"
        )


def _class_weights(value: Any) -> Any:
    """Keys as texts: a class is named by its ID or its name."""
    if value is None or value == "balanced":
        return value
    weights = value.values() if isinstance(value, Mapping) else [value]
    if not all(isinstance(weight, (int, float)) and not isinstance(weight, bool) for weight in weights):
        raise ValueError(f"expected 'balanced' or a dict from class to number, got {value!r}")
    return {str(key): float(weight) for key, weight in value.items()}


def _path_as_text(value: Any) -> str | None:
    """Checkpoints hold the arguments, and no objects such as paths."""
    if value is not None and not isinstance(value, (str, os.PathLike)):
        raise ValueError(f"expected a path, got {value!r}")
    return None if value is None else os.fspath(value)


WEIGHTS = (1e-6, 1e6)
"""Of classes in the loss: beyond, a float32 loss has no digits left for the other classes."""

LONGEST_TIMEOUT = 1e6
"""In seconds, eleven days: the system counts no waits of any length."""


def _positive_weights(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    low, high = WEIGHTS
    wrong = [repr(k) for k, weight in value.items() if not low <= weight <= high] if isinstance(value, dict) else []
    if wrong:
        raise ValueError(f"weights must be above 0 and finite, from {low:g} to {high:g}; wrong for {listed(wrong)}")


@attrs.frozen(kw_only=True)
class ModelArgs:
    """How the model is built, and how it is optimised.

    Attributes:
        backbone_freeze: True trains the head only; a number N the last N blocks too, `"norms"` the normalisation layers
            too.
        backbone_weights: File with weights of the backbone, in place of the published ones; see
            `lt_models.load_weights` for the layouts it may have.
        backbone_args: Further arguments of the backbone's constructor; None for none, or those of the exported model
            that training starts from.
        pooling: How the backbone's output becomes one vector; auto: the model's own way, or that of the exported model
            that training starts from.
        head: auto: linear, or that of the exported model that training starts from.
        head_dropout: Share of features zeroed before the head in training.
        drop_path_rate: Stochastic depth of the last block in training, less before.
        lr: Peak learning rate at batch size 16, scaled with the square root of batch size / 16.
        weight_decay: AdamW's decoupled weight decay, not on norms and biases; auto: 1e-4, 0 when frozen.
        lr_warmup_steps: Steps of linear warm-up; auto: 500, a tenth of the run at most, 0 when frozen.
        gradient_clip_val: Largest norm of the gradient, 0 for no limit; auto: 3, off when frozen.
        layer_decay: Factor of the learning rate from each block to the one before it, from the head, at 1, to the stem;
            auto: 0.75 where a transformer that starts from weights is trained as a whole, nearer to 1 with more than
            12 blocks; None treats all alike.
        label_smoothing: Share of the target spread over all classes, of multilabel over the two outcomes of each class;
            in training only.
        loss: `cross_entropy` or `focal` for multiclass, `bce`, `focal` or `asymmetric` for multilabel; auto: the first.
            Validation reports cross entropy whatever is trained with.
        focal_gamma: γ of the focal loss.
        asymmetric_gammas: γ of the positive and of the negative part of the asymmetric loss.
        asymmetric_margin: Negatives of this probability and below count nothing in the asymmetric loss.
        class_weights: Weights of the classes in the loss: `"balanced"`, or a dict by class ID or name, 1 for those that
            it leaves out. Of multilabel classes it is the positives that weigh.
        sampler: `"balanced"` draws every class alike, with repetition; None shows each sample once an epoch.
        mixup_alpha: Pairs of images are blended, with shares drawn from Beta(α, α); 0 for none.
        cutmix_alpha: A box of one image is put into the other; with mixup, each pair has one of both.
        feature_views: With `backbone_freeze=True`, features are computed once, before the first step, and kept: 0 of
            each image as validation sees it, a number K of K augmented views that take turns from epoch to epoch; None
            runs the backbone at every step, on an image augmented anew. auto: 0, and None with mixup or cutmix.
        ema_decay: Share that an average of the weights keeps at each step; it is the average that is then validated and
            exported. None for none.
    """

    backbone_freeze: bool | int | Literal["norms"] = attrs.field(default=False, validator=at_least(0))
    backbone_weights: str | None = attrs.field(default=None, metadata={STRUCTURE: _path_as_text})
    backbone_args: dict[str, Any] | None = None
    pooling: Literal["auto", "cls", "avg", "cls+avg"] = "auto"
    head: Literal["auto", "linear", "mlp", "cosine"] = "auto"
    head_dropout: float = attrs.field(default=0.0, validator=between(0.0, 0.99))
    drop_path_rate: float = attrs.field(default=0.0, validator=between(0.0, 0.99))
    lr: float = attrs.field(default=3e-4, validator=above(0.0))
    weight_decay: float | Auto = attrs.field(default="auto", validator=at_least(0.0))
    lr_warmup_steps: int | Auto = attrs.field(default="auto", validator=at_least(0))
    gradient_clip_val: float | Auto = attrs.field(default="auto", validator=at_least(0.0))
    layer_decay: float | Auto | None = attrs.field(default="auto", validator=between(0.01, 1.0))
    label_smoothing: float = attrs.field(default=0.0, validator=between(0.0, 0.99))
    loss: Literal["auto", "cross_entropy", "focal", "bce", "asymmetric"] = "auto"
    focal_gamma: float = attrs.field(default=2.0, validator=at_least(0.0))
    asymmetric_gammas: tuple[float, float] = attrs.field(default=(0.0, 4.0), validator=at_least(0.0))
    asymmetric_margin: float = attrs.field(default=0.05, validator=between(0.0, 0.99))
    class_weights: dict[str, float] | Literal["balanced"] | None = attrs.field(
        default=None, validator=_positive_weights, metadata={STRUCTURE: _class_weights}
    )
    sampler: Literal["balanced"] | None = None
    mixup_alpha: float = attrs.field(default=0.0, validator=at_least(0.0))
    cutmix_alpha: float = attrs.field(default=0.0, validator=at_least(0.0))
    feature_views: int | Auto | None = attrs.field(default="auto", validator=at_least(0))
    ema_decay: float | None = attrs.field(default=None, validator=attrs.validators.optional(between(0.0, 0.999999)))


@attrs.frozen(kw_only=True)
class EarlyStoppingArgs:
    """When a run ends before its last step.

    Attributes:
        patience: Validations without an improvement of the watched metric after which it ends.
        min_delta: What is less than this better is no improvement.
    """

    patience: int = attrs.field(default=10, validator=at_least(1))
    min_delta: float = attrs.field(default=0.0, validator=at_least(0.0))


@attrs.frozen(kw_only=True)
class SaveCheckpointArgs:
    """Which files a run leaves.

    Attributes:
        save_every_num_steps: Steps between checkpoints; auto: at every validation, at most 1000 steps apart. The last
            step always saves one, and so does each new best model that is exported.
        save_last: Export the model at each checkpoint to `exported_last.pt`.
        save_best: Export the model to `exported_best.pt` whenever the watched metric improves, or `val_loss` where that
            stays.
    """

    save_every_num_steps: int | Auto = attrs.field(default="auto", validator=at_least(1))
    save_last: bool = True
    save_best: bool = True


@attrs.frozen(kw_only=True)
class LoaderArgs:
    """Arguments of `torch.utils.data.DataLoader` that are not the run's own; no result depends on them.

    Attributes:
        prefetch_factor: Batches that each worker holds ready; None takes PyTorch's.
        timeout: Seconds to wait for a batch of a worker, 0 for ever.
        multiprocessing_context: How workers are started; None takes the system's way.
        pin_memory: Whether batches lie where a GPU copies them from without waiting; auto: on GPUs.
    """

    prefetch_factor: int | None = attrs.field(default=None, validator=attrs.validators.optional(at_least(1)))
    timeout: float = attrs.field(default=0.0, validator=between(0.0, LONGEST_TIMEOUT))
    multiprocessing_context: Literal["fork", "forkserver", "spawn"] | None = None
    pin_memory: bool | Auto = "auto"


@attrs.frozen(kw_only=True)
class TrainConfig:
    """Everything about training that is neither data nor model.

    Attributes:
        steps: Optimiser steps; auto: 30 epochs, at least 500 and at most 100,000 steps.
        epochs: Passes over the training data, instead of `steps`.
        batch_size: Samples of one forward pass over all devices and nodes; auto: 16, at most the data set; on GPUs the
            largest power of two that fits in memory, at most 256 on each and at least 20 batches an epoch.
        gradient_accumulation_steps: Forward passes of one optimiser step; auto: 1.
        num_workers: Loader processes of each device; auto: its share of the processors that this process may use, 16
            at most. Results do not depend on it.
        devices: Their number or their indices, as Lightning Fabric takes it; auto: all GPUs, or what torchrun has
            started.
        num_nodes: Machines.
        accelerator: Kind of device, by Lightning Fabric's names: `"cpu"`, `"gpu"`, `"mps"`; auto: the best there is.
        strategy: How several processes work together, by Lightning Fabric's names: each with all weights (ddp), or with
            a share of them (fsdp, PyTorch's `fully_shard`); auto: ddp with several, none with one.
        precision: By Lightning Fabric's names, or 16, 32, 64, "bf16" for short; auto: bf16-mixed where a GPU has it,
            else 32-true. "16-mixed" scales gradients, on CPUs too. Weights are never in half precision, so that
            scores stay those of `predict`.
        float32_matmul_precision: `torch.set_float32_matmul_precision` for the steps alone; auto leaves it. Validation
            keeps what the program has, as `predict` does.
        seed: Seed of everything random, at least 0 and below 2**64: same seed, same weights.
        model_args: How the model is built, and how it is optimised.
        logger_args: What is logged where, and how often.
        metric_args: Which metrics are computed, and which decides.
        save_checkpoint_args: Which files a run leaves.
        early_stopping_args: When a run ends before its last step; None for never.
        torch_compile_args: Arguments of `torch.compile` for the training pass, an empty dict for its defaults; None
            compiles nothing. Validation is never compiled, so that its scores are those of `predict`.
        loader_args: How the PyTorch DataLoader works.
    """

    steps: int | Auto = attrs.field(default="auto", validator=at_least(1))
    epochs: float | None = attrs.field(default=None, validator=attrs.validators.optional(above(0.0)))
    batch_size: int | Auto = attrs.field(default="auto", validator=at_least(1))
    gradient_accumulation_steps: int | Auto = attrs.field(default="auto", validator=at_least(1))
    num_workers: int | Auto = attrs.field(default="auto", validator=at_least(0))
    devices: int | str | tuple[int, ...] = attrs.field(default="auto", validator=_device_list)
    num_nodes: int = attrs.field(default=1, validator=at_least(1))
    accelerator: str = "auto"
    strategy: Strategy = "auto"
    precision: Precision = attrs.field(default="auto", converter=_precision, metadata={STRUCTURE: _precision})
    float32_matmul_precision: Literal["auto", "highest", "high", "medium"] = "auto"
    seed: int = attrs.field(default=0, validator=[at_least(0), _of_64_bits])
    model_args: ModelArgs = ModelArgs()
    logger_args: LoggerArgs = attrs.field(factory=LoggerArgs)
    metric_args: MetricArgs = attrs.field(factory=MetricArgs)
    save_checkpoint_args: SaveCheckpointArgs = SaveCheckpointArgs()
    early_stopping_args: EarlyStoppingArgs | None = None
    torch_compile_args: dict[str, Any] | None = None
    loader_args: LoaderArgs = LoaderArgs()

    def __attrs_post_init__(self) -> None:
        if self.epochs is not None and self.steps != "auto":
            raise ConfigError([Problem("epochs", "give either steps or epochs, not both")])
