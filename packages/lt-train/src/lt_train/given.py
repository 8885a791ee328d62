"""What `fit` is given, looked at together, before a folder is touched."""

from __future__ import annotations

import attrs

from lt_data import SampleIndex, TaskSpec, structure
from lt_models import Classifier
from lt_train.config import ModelArgs, TrainConfig
from lt_train.data import TrainData
from lt_train.errors import TrainConfigError

OF_THE_MODEL = ("pooling", "head", "head_dropout", "drop_path_rate", "backbone_args")
"""Keys of `model_args` by which a classifier is built; `fit` is given one that is built already."""


def checked_config(config: TrainConfig) -> TrainConfig:
    """The same settings, each of its type; plain dicts in it become what they describe, as `{}` all of the defaults.

    Raises:
        ConfigError: Lists every key that is unknown or wrong.
    """
    return structure(attrs.asdict(config), TrainConfig, "")


def check_parts(classifier: Classifier, task: TaskSpec, data: TrainData, args: ModelArgs) -> None:
    """Look whether classifier, task, samples and settings are of one run.

    Raises:
        TrainConfigError: They are not.
    """
    if not isinstance(classifier, Classifier):
        raise TrainConfigError(
            f"classifier: expected one of lt_models, such as create_classifier makes, got {type(classifier).__name__}"
        )
    count = len(task.classes)
    if classifier.spec.num_classes != count:
        raise TrainConfigError(f"classifier: has {classifier.spec.num_classes} outputs, but the task {count} classes")
    for name, samples in (("train", data.train), ("val", data.val), ("test", data.test)):
        if samples is not None:
            _check_samples(name, samples, task)
    for key in OF_THE_MODEL:
        asked, built = getattr(args, key), getattr(classifier.spec, key)
        if asked != attrs.fields_dict(ModelArgs)[key].default and asked != built:
            raise TrainConfigError(
                f"model_args.{key}: {asked!r} is asked for, but the classifier was built with {built!r}; build it so, "
                "or leave the key out"
            )


def _check_samples(name: str, samples: SampleIndex, task: TaskSpec) -> None:
    kind = "multiclass" if samples.label_ends is None else "multilabel"
    if kind != task.task:
        raise TrainConfigError(f"data.{name}: the samples are {kind}, but the task is {task.task}")
    if samples.num_classes != len(task.classes):
        raise TrainConfigError(
            f"data.{name}: the samples count in {samples.num_classes} classes, but the task has {len(task.classes)}"
        )
