"""`last.ckpt`: an exported model, and what resuming needs beyond it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy.typing as npt
import torch
from torch import nn
from torch.optim import Optimizer

from lt_train.errors import ModelFileError, ResumeError
from lt_train.exported import CHECKPOINT_FORMAT, VERSION, ExportedModel
from lt_train.metrics.tally import ClassTable, Tally
from lt_train.state import Patience, TrainState, Validation
from lt_train.torchfile import read_torch_file

DERIVED = ("task_spec", "train_files", "val_files")
"""What follows from the arguments and the data; told of only where no argument differs."""

FREE_TO_CHANGE = frozenset({"num_workers", "loader_args", "resume_interrupted"})
"""Arguments that a resumed run may change: its result does not depend on them."""


def checkpoint_content(
    model: ExportedModel,
    training_weights: Mapping[str, torch.Tensor] | None,
    optimizer: Optimizer,
    state: TrainState,
    identity: Mapping[str, Any],
) -> dict[str, Any]:
    """What a checkpoint holds.

    Args:
        model: The model as of this step.
        training_weights: The weights that training goes on with, where `model` holds an average of them.
        optimizer: Its moments are saved.
        state: Progress of the run.
        identity: Arguments and data of the run, JSON values; a resumed run must bring equal ones.
    """
    return {
        **model.content(),
        "format": CHECKPOINT_FORMAT,
        "optimizer": optimizer.state_dict(),
        "best": _stored(state.best),
        "latest": _stored(state.latest),
        "validation_due": state.validation_due,
        "loss_sum": state.loss_sum,
        "loss_count": state.loss_count,
        "patience": attrs.asdict(state.patience),
        "training_weights": training_weights,
        "skipped": state.skipped,
        "skipped_in_a_row": state.skipped_in_a_row,
        "tally": _tensors(state.tally.content()) if state.tally else None,
        "identity": json.dumps(identity),
    }


def restore_checkpoint(
    path: Path,
    classifier: nn.Module,
    average: nn.Module | None,
    optimizer: Optimizer,
    identity: Mapping[str, Any],
    device: torch.device,
    tally: Tally | None,
) -> TrainState:
    """Load weights and moments of a checkpoint into a run.

    Args:
        path: The checkpoint.
        classifier: Takes the weights.
        average: Takes their average, None where there is none.
        optimizer: Takes the moments.
        identity: Arguments and data of this run.
        device: Where the run is.
        tally: Takes the training batches counted since the last log; None where they are not measured, or by another
            process.

    Raises:
        ResumeError: An argument or the data differs from the interrupted run's; names it.
        ModelFileError: The file is damaged or foreign.
    """
    content = read_torch_file(path, {CHECKPOINT_FORMAT: VERSION})
    try:
        _check_same(json.loads(content["identity"]), identity, path)
        classifier.load_state_dict(content["model"] if average is None else content["training_weights"])
        if average is not None:
            average.load_state_dict(content["model"])
        optimizer.load_state_dict(content["optimizer"])
        if tally is not None:
            tally.restore({name: tensor.numpy() for name, tensor in content["tally"].items()})
        best, latest = _restored(content["best"]), _restored(content["latest"])
        loss_sum, loss_count, skipped, in_a_row = (
            torch.as_tensor(content[name], dtype=torch.float32, device=device)
            for name in ("loss_sum", "loss_count", "skipped", "skipped_in_a_row")
        )
        return TrainState(
            step=content["step"],
            best=best,
            latest=latest,
            loss_sum=loss_sum,
            loss_count=loss_count,
            patience=Patience(**content["patience"]),
            tally=tally,
            skipped=skipped,
            skipped_in_a_row=in_a_row,
            validation_due=bool(content["validation_due"]),
        )
    except ResumeError:
        raise
    except (KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise ModelFileError(f"{path}: is damaged: {error}") from error


def _stored(validation: Validation | None) -> dict[str, Any] | None:
    if validation is None:
        return None
    table = validation.table
    return {
        "step": validation.step,
        "metrics": validation.metrics,
        "support": torch.from_numpy(table.support),
        "columns": _tensors(table.columns),
        "confusion": torch.from_numpy(table.confusion),
    }


def _restored(stored: Mapping[str, Any] | None) -> Validation | None:
    if stored is None:
        return None
    columns = {name: tensor.numpy() for name, tensor in stored["columns"].items()}
    table = ClassTable(stored["support"].numpy(), columns, stored["confusion"].numpy())
    return Validation(stored["step"], dict(stored["metrics"]), table)


def _tensors(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _check_same(before: Mapping[str, Any], now: Mapping[str, Any], path: Path) -> None:
    flat_before, flat_now = _flat(before), _flat(now)
    differing = [
        f"  {name}: was {flat_before.get(name, '(not set)')!r}, is {flat_now.get(name, '(not set)')!r}"
        for name in sorted({*flat_before, *flat_now})
        if name.partition(".")[0] not in FREE_TO_CHANGE and flat_before.get(name) != flat_now.get(name)
    ]
    arguments = [line for line in differing if not line.strip().startswith(DERIVED)]
    differing = arguments or differing
    if differing:
        raise ResumeError(
            "\n".join(
                [f"{path}: belongs to a run with other arguments; give the same ones, or a new `out`:", *differing]
            )
        )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one, with paths such as `model_args.lr`; values as JSON keeps them."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = json.loads(json.dumps(value))
    return flat
