"""The resolved arguments of a run, as tracking services want them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lt_train.auto import Plan
from lt_train.loggers.base import Scalar

LEFT_OUT = ("logger_args.mlflow", "logger_args.wandb", "logger_args.tensorboard", "logger_args.jsonl")
"""What tells of the services and not of the run."""


def resolved_parameters(arguments: Mapping[str, Any], plan: Plan) -> dict[str, Scalar]:
    """`resolved_values` with lists and None as text, which is all that tracking services take."""
    values = resolved_values(arguments, plan).items()
    return {name: value if isinstance(value, (bool, int, float, str)) else str(value) for name, value in values}


def resolved_values(arguments: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """Arguments by path such as `model_args.lr`, with what "auto" became, as they are."""
    resolved = {
        "steps": plan.steps,
        "batch_size": plan.batch_size,
        "gradient_accumulation_steps": plan.accumulation,
        "num_workers": plan.num_workers,
        "model_args.weight_decay": plan.weight_decay,
        "model_args.lr_warmup_steps": plan.warmup_steps,
        "model_args.gradient_clip_val": plan.clip_norm,
        "logger_args.log_every_num_steps": plan.log_every,
        "logger_args.val_every_num_steps": plan.val_every,
        "logger_args.val_log_every_num_steps": plan.val_log_every,
        "save_checkpoint_args.save_every_num_steps": plan.save_every,
        "resolved.lr": plan.lr,
    }
    given = {name: value for name, value in flat(arguments).items() if not name.startswith(LEFT_OUT)}
    return {**given, **resolved}


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by path."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            found.update(flat(value, f"{prefix}{key}."))
        else:
            found[f"{prefix}{key}"] = value
    return found
