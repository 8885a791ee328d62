"""`settings.json`: what every setting of a run became, and why, for scripts and reports; `config.yaml` starts a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from lt_data import Preprocessing, TaskSpec, atomic_write
from lt_models import ClassifierSpec
from lt_train.auto import Plan
from lt_train.devices import matmul_precision_now
from lt_train.loggers.parameters import flat, resolved_values
from lt_train.losses import OF_TASK
from lt_train.metrics.plan import MetricPlan

FORMAT = "lightly-train/settings"
VERSION = 1
PACKAGES = ("lt-data", "lt-models", "lt-train", "torch", "timm", "lightning-fabric", "numpy", "pillow")


def write_settings(
    path: Path,
    fabric: Fabric,
    arguments: Mapping[str, Any],
    plan: Plan,
    reasons: Mapping[str, str],
    chosen: Mapping[str, Any],
) -> None:
    """Write the file, whole or not at all; a resumed run writes it anew.

    Args:
        path: Where.
        fabric: Tells devices and precision.
        arguments: The user's, as plain values; those that were "auto" are replaced by what `plan` has.
        plan: Settings with nothing left open.
        reasons: Why those that were "auto" became what they are, by name.
        chosen: What else "auto" became, by path.

    Raises:
        OSError: It cannot be written.
    """
    used = {
        name: chosen.get(name, value) if value == "auto" else value
        for name, value in resolved_values(arguments, plan).items()
    }
    resolved = {
        **flat(used),
        "model_args.layer_decay": plan.layer_decay,
        "model_args.feature_views": plan.feature_views,
    }
    of_model = [name for name, value in resolved.items() if value == "auto"]
    document = {
        "format": FORMAT,
        "version": VERSION,
        "resolved": resolved,
        "reasons": {**reasons, **dict.fromkeys(of_model, "the model's own")},
        "devices": devices(fabric),
        "packages": {name: version(name) for name in PACKAGES},
    }
    with atomic_write(path) as stream:
        # A byte of a path that is not UTF-8 becomes the escape that JSON has for it.
        stream.write((json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace"))


def chosen_values(
    fabric: Fabric, model: ClassifierSpec, task: TaskSpec, train: Preprocessing, metrics: MetricPlan, watched: str
) -> dict[str, Any]:
    """What "auto" became by path, of settings that are no part of a plan.

    Args:
        fabric: Tells devices and precision.
        model: What was built.
        task: What is learnt.
        train: Geometry and normalisation in training.
        metrics: What is computed.
        watched: Logged name of the metric that decides.
    """
    on = devices(fabric)
    by_metric = metrics.resolved()
    return {
        **{f"metric_args.{key}": values for key, values in by_metric.items()},
        **{f"metric_args.{key}.{name}": v for key, values in by_metric.items() for name, v in (values or {}).items()},
        "devices": on["count"] // on["nodes"],
        "accelerator": on["type"],
        "strategy": on["strategy"],
        "precision": on["precision"],
        "float32_matmul_precision": matmul_precision_now(),
        "model_args.pooling": model.pooling,
        "model_args.head": model.head,
        "model_args.loss": OF_TASK[task.task][0],
        "transform_args.image_size": list(train.image_size),
        "transform_args.num_channels": train.num_channels,
        "transform_args.normalize": {"mean": list(train.mean), "std": list(train.std)},
        "transform_args.resize_mode": train.resize_mode,
        "metric_args.watch_metric": watched,
        "loader_args.pin_memory": on["type"] == "cuda",
    }


def devices(fabric: Fabric) -> dict[str, Any]:
    """What a run computes on and in, as plain values."""
    on_gpu = fabric.device.type == "cuda"
    return {
        "count": fabric.world_size,
        "nodes": getattr(fabric.strategy, "num_nodes", 1),
        "type": fabric.device.type,
        "name": torch.cuda.get_device_name(fabric.device) if on_gpu else None,
        "strategy": type(fabric.strategy).__name__,
        "precision": str(fabric.strategy.precision.precision),
    }
