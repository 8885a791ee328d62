"""Starting a run from the weights of another."""

from __future__ import annotations

import logging

import torch

from lt_data import Classes, enumerated, listed
from lt_models import Classifier, WeightsError, load_weights
from lt_train import ExportedModel, ModelFileError

logger = logging.getLogger(__name__)

BACKBONE = "backbone."


def transfer(start: ExportedModel, classifier: Classifier, classes: Classes, *, reuse_head: bool) -> None:
    """Load the weights of `start` into a new classifier.

    Args:
        start: The model to start from.
        classifier: The model to train, changed in place.
        classes: The classes that `classifier` learns.
        reuse_head: Keep the head's rows of classes whose name stays; the other rows stay as they were initialised.

    Raises:
        ModelFileError: The backbones differ.
    """
    head = {name: tensor for name, tensor in start.state.items() if name.startswith("head.")}
    backbone = {
        name.removeprefix(BACKBONE): tensor for name, tensor in start.state.items() if name.startswith(BACKBONE)
    }
    try:
        report = load_weights(classifier.backbone, backbone, model=classifier.spec.model)
    except WeightsError as error:
        raise ModelFileError(f"the model to start from does not fit this run: {error}") from error
    absent = [*report.missing, *report.mismatched]
    if absent:
        raise ModelFileError(
            f"the weights of {start.spec.model} do not fit the new run's model, which has others: {listed(absent)}; "
            "leave model_args.backbone_args as they were"
        )
    _tell_other_ids(start.task.classes, classes)
    kept = _copy_rows(start, head, classifier, classes) if reuse_head else []
    logger.info(
        "model: %s, weights of step %d; head: %d of %d rows kept%s",
        start.spec.model,
        start.step,
        len(kept),
        len(classes),
        "" if reuse_head else " (`reuse_class_head` keeps those of classes whose name stays)",
    )


def _tell_other_ids(before: Classes, now: Classes) -> None:
    """Warn where classes of the same name have other IDs, by which programs may know them."""
    ids = {name: class_id for class_id, name in before.as_dict().items()}
    changed = [
        f"{name} {ids[name]} -> {class_id}"
        for class_id, name in now.as_dict().items()
        if ids.get(name, class_id) != class_id
    ]
    if changed:
        logger.warning(
            "classes have other IDs than in the model to start from: %s; data.classes sets them", enumerated(changed)
        )


@torch.no_grad()
def _copy_rows(
    start: ExportedModel, head: dict[str, torch.Tensor], classifier: Classifier, classes: Classes
) -> list[str]:
    """Copy the rows of classes that have a namesake in `start`; returns their names."""
    rows = {name: row for row, name in enumerate(start.task.classes.names)}
    kept = [name for name in classes.names if name in rows]
    old = [rows[name] for name in kept]
    new = [classes.names.index(name) for name in kept]
    for name, parameter in classifier.head.named_parameters():
        given = head.get(f"head.{name}")
        if start.spec.head != classifier.spec.head or given is None or given.shape[1:] != parameter.shape[1:]:
            raise ModelFileError(
                f"reuse_class_head: the head of the model to start from ({start.spec.head}, pooling "
                f"{start.spec.pooling}) differs from this run's ({classifier.spec.head}, pooling "
                f"{classifier.spec.pooling})"
            )
        if name in classifier.class_rows:
            parameter[new] = given[old].to(parameter)
        else:
            parameter.copy_(given)
    return kept
