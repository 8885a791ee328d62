"""Fully sharded data parallel: each process keeps its share of every weight, gradient and moment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from lightning_fabric.strategies.model_parallel import ModelParallelStrategy
from torch import nn
from torch.optim import Optimizer

KERNELS = ("fused", "foreach", "capturable")
"""Settings of a group of AdamW that say how its step is calculated."""


def sharded_strategy() -> ModelParallelStrategy:
    """Lightning Fabric's way to PyTorch's `fully_shard` (FSDP2), over all processes of a run."""
    return ModelParallelStrategy(lambda module, mesh: shard(module))


def shard(module: nn.Module) -> nn.Module:
    """Shard a module over all processes, in place; each block gathers its weights when it runs, and only then."""
    from torch.distributed import get_world_size
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    device = next(module.parameters()).device
    mesh = init_device_mesh(device.type, (get_world_size(),))
    module.to(memory_format=torch.contiguous_format)  # weights of other formats are refused
    for block in _blocks(module):
        fully_shard(block, mesh=mesh)
    fully_shard(module, mesh=mesh)
    return module


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    """Members of the outermost rows of layers; what is in none of them belongs to the module itself."""
    for child in module.children():
        if isinstance(child, (nn.Sequential, nn.ModuleList)):
            yield from (block for block in child if any(True for _ in block.parameters()))
        else:
            yield from _blocks(child)


def whole(content: Any) -> Any:
    """Nested dicts, lists and tuples with sharded tensors put together, on the CPU; all processes must ask.

    What is not sharded stays as it is.
    """
    if isinstance(content, torch.Tensor):
        together = whole_tensor(content)
        return content if together is content else together.cpu()
    if isinstance(content, Mapping):
        return {key: whole(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return type(content)(whole(value) for value in content)
    return content


def whole_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """A sharded tensor put together, on its device, for which all processes must ask; another as it is."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def own_share(tensor: torch.Tensor) -> torch.Tensor:
    """The part of a sharded tensor that this process keeps, in its memory; of another tensor all."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def load_weights(module: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """`module.load_state_dict(weights)`, where the module may be sharded.

    Raises:
        RuntimeError: They do not fit.
    """
    own = module.state_dict()
    module.load_state_dict({name: _sharded_as(own.get(name), tensor) for name, tensor in weights.items()})


def load_moments(optimizer: Optimizer, content: Mapping[str, Any]) -> None:
    """`optimizer.load_state_dict(content)`, where its parameters may be sharded.

    Raises:
        ValueError: It is of another optimiser.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    moments = {
        index: {name: _as_own(parameters[index], value) for name, value in state.items()}
        for index, state in content["state"].items()
    }
    # Which kernels take the step is a matter of the device, which may be another than that of the interrupted run.
    groups = [
        {**saved, **{flag: own[flag] for flag in KERNELS}}
        for saved, own in zip(content["param_groups"], optimizer.param_groups, strict=True)
    ]
    optimizer.load_state_dict({**content, "state": moments, "param_groups": groups})


def _as_own(own: torch.Tensor, value: Any) -> Any:
    """A moment of a parameter in its shares and its memory format: fused kernels go through memory, not by index."""
    value = _sharded_as(own, value)
    if hasattr(own, "to_local") or getattr(value, "shape", None) != own.shape or value.stride() == own.stride():
        return value
    return torch.empty_like(own, dtype=value.dtype, device=value.device, requires_grad=False).copy_(value)


def _sharded_as(own: torch.Tensor | None, value: Any) -> Any:
    """A value in the shares of `own`, where that has shares and the value its shape."""
    if own is None or not hasattr(own, "to_local") or getattr(value, "shape", None) != own.shape:
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(own, DTensor)
    # Each process has read the whole.
    return distribute_tensor(value.to(own.device), own.device_mesh, own.placements, src_data_rank=None)
