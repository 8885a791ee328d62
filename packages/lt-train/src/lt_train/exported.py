"""Exported models: weights, what they are built from, and the task. All that `predict` needs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import torch

from lt_data import TaskSpec, structure, user_path
from lt_models import Classifier, ClassifierSpec, build_classifier
from lt_train.errors import ModelFileError
from lt_train.torchfile import read_torch_file, write_torch_file

FORMAT = "lightly-train/model"
CHECKPOINT_FORMAT = "lightly-train/checkpoint"
VERSION = 1


@attrs.frozen(eq=False)
class ExportedModel:
    """The content of an exported model.

    Attributes:
        task: Its task, classes and preprocessing.
        spec: What the classifier is built from.
        state: Its weights by name, on the CPU.
        metrics: Validation metrics of these weights, by logged name.
        step: Optimiser steps they were trained for.
    """

    task: TaskSpec
    spec: ClassifierSpec
    state: dict[str, torch.Tensor]
    metrics: dict[str, float]
    step: int

    def content(self) -> dict[str, Any]:
        """Plain values and tensors, as they are stored; a checkpoint holds the same and more."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "task_spec": self.task.to_json(),
            "classifier": attrs.asdict(self.spec),
            "model": self.state,
            "metrics": self.metrics,
            "step": self.step,
        }

    def build(self) -> Classifier:
        """The classifier with these weights; no published weights are fetched.

        Raises:
            ModelFileError: The weights do not fit the classifier.
        """
        classifier = build_classifier(self.spec, pretrained=False)
        try:
            classifier.load_state_dict(self.state)
        except RuntimeError as error:
            raise ModelFileError(f"the weights do not fit {self.spec.model}: {error}") from error
        return classifier


def save_exported(path: str | os.PathLike[str], model: ExportedModel) -> None:
    """Write an exported model, whole or not at all."""
    write_torch_file(user_path(path), model.content())


def load_exported(path: str | os.PathLike[str]) -> ExportedModel:
    """Read an exported model or a checkpoint.

    Args:
        path: The file; `~` is the home folder.

    Raises:
        ModelFileError: The file is missing, damaged, foreign, or newer than this version. Nothing in it is executed.
    """
    file = user_path(path)
    return exported_from_content(read_torch_file(file, {FORMAT: VERSION, CHECKPOINT_FORMAT: VERSION}), file)


def exported_from_content(content: Mapping[str, Any], path: Path) -> ExportedModel:
    """The model part of a file's content.

    Raises:
        ModelFileError: A part is missing or damaged.
    """
    try:
        state = content["model"]
        if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
            raise ValueError("`model` must hold tensors")
        return ExportedModel(
            task=TaskSpec.from_json(content["task_spec"]),
            spec=structure(content["classifier"], ClassifierSpec, "classifier"),
            state=state,
            metrics={str(name): float(value) for name, value in content["metrics"].items()},
            step=int(content["step"]),
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise ModelFileError(f"{path}: is damaged: {error}") from error
