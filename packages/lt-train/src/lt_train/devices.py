"""The processes of a run, their devices, and the numbers that they calculate with."""

from __future__ import annotations

from typing import Any

import torch
from lightning_fabric import Fabric

from lt_train.config import TrainConfig
from lt_train.errors import TrainConfigError

FP16 = ("16-mixed", "16")
"""What Lightning Fabric takes for mixed precision with fp16."""


def start_fabric(config: TrainConfig) -> Fabric:
    """Start this run's processes, or join them.

    Raises:
        TrainConfigError: There are no such devices, or they cannot do what is asked of them.
    """
    if config.float32_matmul_precision != "auto":
        torch.set_float32_matmul_precision(config.float32_matmul_precision)
    try:
        fabric = Fabric(
            accelerator=config.accelerator,
            strategy=_strategy(config),
            devices=list(config.devices) if isinstance(config.devices, tuple) else config.devices,
            num_nodes=config.num_nodes,
            **_precision(config),
        )
    except (ValueError, RuntimeError, TypeError) as error:
        raise TrainConfigError(f"devices, accelerator, strategy or precision: {error}") from error
    fabric.launch()
    return fabric


def _strategy(config: TrainConfig) -> Any:
    """Fabric's own "fsdp" is PyTorch's older one and for GPUs only."""
    if config.strategy != "fsdp":
        return config.strategy
    from lt_train.sharding import sharded_strategy

    return sharded_strategy()


def _precision(config: TrainConfig) -> dict[str, Any]:
    if config.precision == "auto":
        has_bf16 = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
        return {"precision": "bf16-mixed" if has_bf16 else "32-true"}
    if config.precision in FP16 and config.strategy == "fsdp":
        raise TrainConfigError("precision: strategy='fsdp' has no scaling of gradients for fp16; take 'bf16-mixed'")
    if config.precision in FP16 and _on_cpu(config):
        from lightning_fabric.plugins import MixedPrecision

        # Asked by name, Fabric takes bf16 in its place, without scaling of gradients.
        return {"plugins": MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))}
    return {"precision": config.precision}


def _on_cpu(config: TrainConfig) -> bool:
    if config.accelerator != "auto":
        return config.accelerator == "cpu"
    return not (torch.cuda.is_available() or torch.backends.mps.is_available())
