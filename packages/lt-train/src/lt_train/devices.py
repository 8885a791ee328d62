"""The processes of a run, their devices, and the numbers that they calculate with."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import torch
from lightning_fabric import Fabric
from lightning_fabric.accelerators import ACCELERATOR_REGISTRY

from lt_data import listed
from lt_train.config import TrainConfig
from lt_train.errors import TrainConfigError

logger = logging.getLogger(__name__)

FP16 = "16-mixed"

SET_BY_BACKEND = "set by backend"

DEVICE_KEYS = "devices, num_nodes, accelerator, strategy or precision"
"""What may be wrong where Fabric refuses."""


def start_fabric(config: TrainConfig) -> Fabric:
    """Start this run's processes, or join them.

    Raises:
        TrainConfigError: There are no such devices, or they cannot do what is asked of them.
    """
    try:
        fabric = Fabric(
            accelerator=config.accelerator,
            strategy=_strategy(config),
            devices=list(config.devices) if isinstance(config.devices, tuple) else config.devices,
            num_nodes=config.num_nodes,
            **precision_arguments(config),
        )
    # RuntimeError: the accelerator is not there. ImportError: nor is its package.
    except (ValueError, TypeError, RuntimeError, ImportError) as error:
        raise TrainConfigError(f"{DEVICE_KEYS}: {error}") from error
    try:
        with without_precision_hint():
            fabric.launch()
    except (ValueError, TypeError) as error:
        raise TrainConfigError(f"{DEVICE_KEYS}: {error}") from error
    return fabric


def check_devices(config: TrainConfig) -> None:
    """Look whether the devices that are asked for are here, before data and weights are read or processes started.

    Raises:
        TrainConfigError: They are not, or a batch cannot be divided evenly over them, or a precision is asked for that
            PyTorch does not let be set.
    """
    if config.float32_matmul_precision != "auto" and matmul_precision_now() == SET_BY_BACKEND:
        raise TrainConfigError(
            f"float32_matmul_precision: {config.float32_matmul_precision!r} is asked for, but this program has set the "
            "precision of each backend by itself, such as torch.backends.cuda.matmul.fp32_precision; leave it 'auto'"
        )
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    kind = config.accelerator
    if {"gpu": cuda or mps, "cuda": cuda, "mps": mps}.get(kind) is False:
        raise TrainConfigError(
            f"accelerator: {kind!r} is asked for, but PyTorch {torch.__version__} finds no such device; take 'cpu' or "
            "'auto', or install a driver and a PyTorch that go together"
        )
    if isinstance(config.devices, int) and config.devices > 0 and isinstance(config.batch_size, int):
        check_even(config.batch_size, config.devices * config.num_nodes)
    known = ("auto", "gpu", *sorted(ACCELERATOR_REGISTRY.available_accelerators()))
    if kind not in known:
        raise TrainConfigError(f"accelerator: expected one of {listed(known)}, got {kind!r}")
    on_cpu = kind == "cpu" or (kind == "auto" and not (cuda or mps))
    if on_cpu and not (config.devices == "auto" or re.fullmatch(r"[1-9]\d*", str(config.devices))):
        raise TrainConfigError(f"devices: on CPUs a number of processes, at least 1, got {config.devices!r}")
    if config.precision == "64-true" and (kind == "mps" or (mps and not cuda and kind in ("auto", "gpu"))):
        raise TrainConfigError("precision: Apple's GPUs have no 64 bits; take '32-true', or accelerator='cpu'")
    if is_interactive() and "LOCAL_RANK" not in os.environ and _num_asked(config.devices) > 1:
        raise TrainConfigError(
            f"devices: {config.devices} is more than one process, which a notebook or an interactive Python cannot "
            "start; put the call into a script, or take devices=1"
        )
    if not cuda or kind not in ("auto", "gpu", "cuda"):
        return
    there, asked = torch.cuda.device_count(), config.devices
    if isinstance(asked, int) and asked > there:
        raise TrainConfigError(f"devices: {asked} are asked for, but there are {there} GPUs here")
    if isinstance(asked, tuple) and max(asked) >= there:
        raise TrainConfigError(f"devices: there is no GPU {max(asked)} here; the last is {there - 1}")


def check_even(batch_size: int, world_size: int) -> None:
    """Look whether each process has an equal part of a batch.

    Raises:
        TrainConfigError: It has not.
    """
    if batch_size % world_size:
        what = f"batch_size {batch_size} cannot be divided evenly over {world_size} devices"
        raise TrainConfigError(f"{what}; take a multiple of {world_size}")


def matmul_precision_now() -> str:
    """What `torch.get_float32_matmul_precision` says; `SET_BY_BACKEND` where a program set each by itself."""
    try:
        return torch.get_float32_matmul_precision()
    # PyTorch refuses to answer then.
    except RuntimeError:
        return SET_BY_BACKEND


@contextmanager
def matmul_precision(precision: str) -> Iterator[None]:
    """Multiply matrices of float32 so precisely while the block runs, as `torch.set_float32_matmul_precision` has it.

    Args:
        precision: `"highest"`, `"high"`, `"medium"`, or `"auto"` to leave it as it is.
    """
    if precision == "auto":
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def without_precision_hint() -> Iterator[None]:
    """Keep Fabric from asking for the precision of matrix products, to hint at a faster one, where PyTorch refuses."""
    from lightning_fabric.accelerators import cuda

    if matmul_precision_now() != SET_BY_BACKEND:
        yield
        return
    asks = cuda._check_cuda_matmul_precision
    cuda._check_cuda_matmul_precision = lambda device: None  # type: ignore[assignment]  # Fabric has an lru_cache
    try:
        yield
    finally:
        cuda._check_cuda_matmul_precision = asks


@contextmanager
def inputs_of_one_shape(device: torch.device) -> Iterator[None]:
    """Have cuDNN look for its fastest algorithms while the block runs, which pays where all inputs have one shape.

    Nothing changes on other devices, nor where a program wants algorithms that are deterministic.
    """
    cudnn = torch.backends.cudnn
    if device.type != "cuda" or cudnn.deterministic or torch.are_deterministic_algorithms_enabled():
        yield
        return
    before = cudnn.benchmark
    cudnn.benchmark = True
    try:
        yield
    finally:
        cudnn.benchmark = before


def is_interactive() -> bool:
    """Whether Python answers line by line, as in a notebook; Fabric starts no processes there."""
    return hasattr(sys, "ps1") or bool(sys.flags.interactive)


def as_launched(config: TrainConfig) -> TrainConfig:
    """The same settings, with `devices` and `num_nodes` as this process can have them, where they are open.

    That is as torchrun has started it; and in a notebook one GPU of several.
    """
    if config.devices == "auto" and is_interactive() and _num_gpus(config) > 1 and "LOCAL_RANK" not in os.environ:
        logger.warning(
            "devices: training on one of %d GPUs, as a notebook or an interactive Python starts no processes; a script "
            "takes all of them",
            _num_gpus(config),
        )
        return attrs.evolve(config, devices=1)
    if not {"TORCHELASTIC_RUN_ID", "LOCAL_WORLD_SIZE", "WORLD_SIZE"} <= os.environ.keys():
        return config
    local, world = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
    if config.devices == "auto":
        config = attrs.evolve(config, devices=local)
    return attrs.evolve(config, num_nodes=world // local) if config.num_nodes == 1 else config


def _strategy(config: TrainConfig) -> Any:
    """Fabric's own "fsdp" is PyTorch's older one and for GPUs only."""
    if config.strategy != "fsdp":
        return config.strategy
    from lt_train.sharding import sharded_strategy

    return sharded_strategy()


def precision_arguments(config: TrainConfig) -> dict[str, Any]:
    """What Fabric is told of the precision.

    Raises:
        TrainConfigError: The strategy has no such precision.
    """
    if config.precision == "auto":
        return {"precision": "bf16-mixed" if _has_bf16(config) else "32-true"}
    if config.precision == FP16 and config.strategy == "fsdp":
        raise TrainConfigError("precision: strategy='fsdp' has no scaling of gradients for fp16; take 'bf16-mixed'")
    if config.precision == FP16 and _on_cpu(config):
        from lightning_fabric.plugins import MixedPrecision

        # Asked by name, Fabric takes bf16 in its place, without scaling of gradients.
        return {"plugins": MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))}
    return {"precision": config.precision}


def _num_gpus(config: TrainConfig) -> int:
    """GPUs that "auto" would take, each by a process."""
    return torch.cuda.device_count() if config.accelerator in ("auto", "gpu", "cuda") else 0


def _indices(devices: int | str | tuple[int, ...]) -> tuple[int, ...]:
    """Which GPUs are named; empty where only their number is asked for."""
    if isinstance(devices, tuple):
        return devices
    named = str(devices).split(",")
    return tuple(int(index) for index in named if index.strip()) if len(named) > 1 else ()


def _num_asked(devices: int | str | tuple[int, ...]) -> int:
    """How many processes are asked for on a machine, 0 for "auto"."""
    if devices == "auto" or _indices(devices):
        return len(_indices(devices))
    number = int(str(devices))
    return torch.cuda.device_count() if number == -1 else number


def _has_bf16(config: TrainConfig) -> bool:
    """Whether the GPU that is asked for calculates in bf16, the first of several."""
    if config.accelerator not in ("auto", "gpu", "cuda") or not torch.cuda.is_available():
        return False
    with torch.cuda.device(next(iter(_indices(config.devices)), 0)):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def _on_cpu(config: TrainConfig) -> bool:
    if config.accelerator != "auto":
        return config.accelerator == "cpu"
    return not (torch.cuda.is_available() or torch.backends.mps.is_available())
