"""The arguments of a run, checked together so that every problem is in one report."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import attrs

from lightly_train.run_config import asked
from lt_data import (
    STRUCTURE,
    ConfigError,
    DataConfig,
    Problem,
    TransformConfig,
    load_data_config,
    plain_values,
    structure,
    unknown_key,
    user_path,
)
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
        asked: Those arguments that differ from their defaults, as plain values that `read_arguments` reads again, for
            `config.yaml`; `overwrite` and `resume_interrupted` are not among them.
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
    asked: Mapping[str, Any]


def _name_or_path(value: Any) -> Path:
    if not isinstance(value, (str, os.PathLike)) or not os.fspath(value):
        what = "expected a name such as 'timm/resnet18' (`list_models` has them), or the path of a model"
        raise ValueError(f"{what}, got {value!r}")
    return user_path(value)


@attrs.frozen(kw_only=True)
class _Plain:
    """Arguments that are single values."""

    out: Path
    model: Path = attrs.field(metadata={STRUCTURE: _name_or_path})
    classification_task: Literal["multiclass", "multilabel"]
    resume_interrupted: bool
    overwrite: bool
    reuse_class_head: bool


@attrs.frozen(kw_only=True)
class _Settings:
    """Arguments that are read apart from training."""

    data: DataConfig
    transform_args: TransformConfig


def argument_kinds() -> dict[str, Any]:
    """Types of all arguments by name, as they are once they have been read."""
    found: dict[str, Any] = {}
    for cls in (_Plain, _Settings, TrainConfig):
        attrs.resolve_types(cls)
        found |= {field.name: field.type for field in attrs.fields(cls)}
    return found


def read_arguments(raw: Mapping[str, Any]) -> Arguments:
    """Check the arguments of `train_image_classification`.

    Args:
        raw: All of them by name; what is missing or no argument is reported with the rest.

    Raises:
        ConfigError: Lists every key that is unknown, missing or wrong, in all arguments.
    """
    raw, kinds = plain_values(raw), argument_kinds()
    problems = [Problem(name, unknown_key(name, kinds)) for name in raw if name not in kinds]

    def collect(build: Callable[[], T]) -> T | None:
        try:
            return build()
        except ConfigError as error:
            problems.extend(error.problems)
            return None

    setting_names = {field.name for field in attrs.fields(TrainConfig)}
    settings = {name: _listed(value) for name, value in raw.items() if name in setting_names and value is not None}
    plain_names = [field.name for field in attrs.fields(_Plain)]
    plain = collect(lambda: structure({name: raw[name] for name in plain_names if name in raw}, _Plain, ""))
    if raw.get("data") is None:
        problems.append(Problem("data", "this key is required: a dict, or the path of a YAML file"))
    data = collect(lambda: load_data_config(raw["data"])) if raw.get("data") is not None else None
    transforms = collect(lambda: structure(raw.get("transform_args") or {}, TransformConfig, "transform_args"))
    training = collect(lambda: structure(settings, TrainConfig, ""))
    if plain is not None and plain.reuse_class_head and not is_model_file(str(plain.model)):
        problems.append(Problem("reuse_class_head", "needs `model` to be an exported model, whose head can be kept"))
    if plain is not None and training is not None:
        problems.extend(_two_sources_of_weights(str(plain.model), training))
    if plain is not None and data is not None:
        problems.extend(_run_among_images(plain.out, data))
    if problems or plain is None or data is None or transforms is None or training is None:
        raise ConfigError(problems)
    model = _model(raw["model"])
    return Arguments(
        out=plain.out,
        classification_task=plain.classification_task,
        model=model,
        data=data,
        transform_args=transforms,
        training=training,
        resume_interrupted=plain.resume_interrupted,
        overwrite=plain.overwrite,
        reuse_class_head=plain.reuse_class_head,
        given={
            "model": model,
            "data": _plain_values(attrs.asdict(data)),
            "classification_task": plain.classification_task,
            "transform_args": _plain_values(attrs.asdict(transforms)),
            "reuse_class_head": plain.reuse_class_head,
            **_plain_values(attrs.asdict(training)),
        },
        asked=_asked(model, plain, data, transforms, training),
    )


def _model(given: str | os.PathLike[str]) -> str:
    """A name as it is given, a path without `~`."""
    name = os.fspath(given)
    return str(user_path(name)) if name.startswith("~") else name


def _asked(
    model: str, plain: _Plain, data: DataConfig, transforms: TransformConfig, training: TrainConfig
) -> dict[str, Any]:
    settings = asked(training)
    weights = training.model_args.backbone_weights
    if weights is not None:
        settings["model_args"]["backbone_weights"] = str(Path(weights).absolute())
    return {
        "out": str(plain.out.absolute()),
        "model": str(Path(model).absolute()) if is_model_file(model) else model,
        "data": asked(data),
        **({"classification_task": plain.classification_task} if plain.classification_task != "multiclass" else {}),
        **({"reuse_class_head": True} if plain.reuse_class_head else {}),
        **({"transform_args": asked(transforms)} if asked(transforms) else {}),
        **settings,
    }


def _two_sources_of_weights(model: str, training: TrainConfig) -> list[Problem]:
    if training.model_args.backbone_weights is None or not is_model_file(model):
        return []
    return [Problem("model_args.backbone_weights", f"{model} brings its own weights; leave one of the two out")]


def _run_among_images(out: Path, data: DataConfig) -> list[Problem]:
    """A run folder in a folder of images would be a class of the next run."""
    place = out.resolve()
    for key in ("train", "val", "test"):
        images = getattr(data, key)
        if isinstance(images, Path) and images.resolve() in (place, *place.parents):
            what = f"{out} lies in data.{key} ({images}), whose folders are classes; choose a folder outside of it"
            return [Problem("out", what)]
    return []


def is_model_file(model: str) -> bool:
    """Whether `model` means a file, or the folder of a run, whose place is then told; not a name."""
    path = Path(model)
    is_place = path.is_absolute() or path.is_file() or (path / "exported_models").is_dir()
    return is_place or path.suffix in MODEL_FILE_SUFFIXES


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
