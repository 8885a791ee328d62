"""`last.ckpt`: an exported model, and what resuming needs beyond it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import nn
from torch.optim import Optimizer

from lt_train.errors import ModelFileError, ResumeError
from lt_train.exported import CHECKPOINT_FORMAT, VERSION, ExportedModel
from lt_train.state import Best, TrainState
from lt_train.torchfile import read_torch_file, write_torch_file

DERIVED = ("task_spec", "train_files", "val_files")
"""What follows from the arguments and the data; told of only where no argument differs."""

FREE_TO_CHANGE = frozenset({"num_workers", "loader_args", "resume_interrupted"})
"""Arguments that a resumed run may change: its result does not depend on them."""


def save_checkpoint(
    path: Path, model: ExportedModel, optimizer: Optimizer, state: TrainState, identity: Mapping[str, Any]
) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        path: Where.
        model: The model as of this step.
        optimizer: Its moments are saved.
        state: Progress of the run.
        identity: Arguments and data of the run, JSON values; a resumed run must bring equal ones.
    """
    content = {
        **model.content(),
        "format": CHECKPOINT_FORMAT,
        "optimizer": optimizer.state_dict(),
        "best": attrs.asdict(state.best) if state.best else None,
        "loss_sum": state.loss_sum.cpu(),
        "loss_count": state.loss_count,
        "identity": json.dumps(identity),
    }
    write_torch_file(path, content)


def restore_checkpoint(
    path: Path, classifier: nn.Module, optimizer: Optimizer, identity: Mapping[str, Any], device: torch.device
) -> TrainState:
    """Load weights and moments of a checkpoint into a run.

    Raises:
        ResumeError: An argument or the data differs from the interrupted run's; names it.
        ModelFileError: The file is damaged or foreign.
    """
    content = read_torch_file(path, {CHECKPOINT_FORMAT: VERSION})
    try:
        _check_same(json.loads(content["identity"]), identity, path)
        classifier.load_state_dict(content["model"])
        optimizer.load_state_dict(content["optimizer"])
        best = Best(**content["best"]) if content["best"] else None
        loss_sum = content["loss_sum"].to(device)
        return TrainState(content["step"], best, dict(content["metrics"]), loss_sum, content["loss_count"])
    except ResumeError:
        raise
    except (KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise ModelFileError(f"{path}: is damaged: {error}") from error


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
