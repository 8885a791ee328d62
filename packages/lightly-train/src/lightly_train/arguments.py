"""The arguments of a run, checked together so that every problem is in one report."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import attrs

from lt_data import ConfigError, DataConfig, Problem, TransformConfig, load_data_config, structure
from lt_train import TrainConfig

T = TypeVar("T")

MODEL_FILE_SUFFIXES = (".pt", ".ckpt")


@attrs.frozen(kw_only=True)
class Arguments:
    """What the user asked for, valid by itself.

    Attributes:
        out: Run folder.
        classification_task: Whether an image has one class or any number.
        model: Name of a model, or path of an exported one.
        data: Where images and labels are.
        transform_args: How images become inputs.
        training: All settings of the loop.
        resume_interrupted: Go on from the checkpoint in `out`.
        overwrite: Replace the run in `out`.
        reuse_class_head: Keep the head's rows of classes whose name stays.
        given: The arguments as plain values, for the log and for comparing a resumed run; `out`, `overwrite` and
            `resume_interrupted` are not among them.
    """

    out: Path
    classification_task: Literal["multiclass", "multilabel"]
    model: str
    data: DataConfig
    transform_args: TransformConfig
    training: TrainConfig
    resume_interrupted: bool
    overwrite: bool
    reuse_class_head: bool
    given: Mapping[str, Any]


@attrs.frozen(kw_only=True)
class _Plain:
    """Arguments that are single values."""

    out: Path
    model: Path
    classification_task: Literal["multiclass", "multilabel"]
    resume_interrupted: bool
    overwrite: bool
    reuse_class_head: bool


def read_arguments(raw: Mapping[str, Any]) -> Arguments:
    """Check the arguments of `train_image_classification`.

    Raises:
        ConfigError: Lists every key that is unknown or wrong, in all arguments.
    """
    problems: list[Problem] = []

    def collect(build: Callable[[], T]) -> T | None:
        try:
            return build()
        except ConfigError as error:
            problems.extend(error.problems)
            return None

    names = {field.name for field in attrs.fields(TrainConfig)}
    settings = {name: _listed(value) for name, value in raw.items() if name in names and value is not None}
    plain_names = {field.name for field in attrs.fields(_Plain)}
    plain = collect(lambda: structure({name: raw[name] for name in plain_names}, _Plain, ""))
    data = collect(lambda: load_data_config(raw["data"]))
    transforms = collect(lambda: structure(raw["transform_args"] or {}, TransformConfig, "transform_args"))
    training = collect(lambda: structure(settings, TrainConfig, ""))
    if plain is not None and plain.reuse_class_head and not is_model_file(str(plain.model)):
        problems.append(Problem("reuse_class_head", "needs `model` to be an exported model, whose head can be kept"))
    if plain is not None and training is not None:
        problems.extend(_two_sources_of_weights(str(plain.model), training))
    if problems or plain is None or data is None or transforms is None or training is None:
        raise ConfigError(problems)
    return Arguments(
        out=plain.out,
        classification_task=plain.classification_task,
        model=os.fspath(raw["model"]),
        data=data,
        transform_args=transforms,
        training=training,
        resume_interrupted=plain.resume_interrupted,
        overwrite=plain.overwrite,
        reuse_class_head=plain.reuse_class_head,
        given={
            "model": os.fspath(raw["model"]),
            "data": _plain_values(attrs.asdict(data)),
            "classification_task": plain.classification_task,
            "transform_args": _plain_values(attrs.asdict(transforms)),
            "reuse_class_head": plain.reuse_class_head,
            **_plain_values(attrs.asdict(training)),
        },
    )


def _two_sources_of_weights(model: str, training: TrainConfig) -> list[Problem]:
    if training.model_args.backbone_weights is None or not is_model_file(model):
        return []
    return [Problem("model_args.backbone_weights", f"{model} brings its own weights; leave one of the two out")]


def is_model_file(model: str) -> bool:
    """Whether `model` means a file, not a name."""
    return Path(model).suffix in MODEL_FILE_SUFFIXES or Path(model).is_file()


def _listed(value: Any) -> Any:
    """Sequences of numbers, such as `devices`, may be of any kind."""
    return tuple(value) if isinstance(value, (list, range)) else value


def _plain_values(value: Any) -> Any:
    """As JSON has it."""
    if isinstance(value, Mapping):
        return {str(key): _plain_values(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain_values(item) for item in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
