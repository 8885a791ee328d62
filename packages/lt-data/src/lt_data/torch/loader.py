"""Loaders whose batches do not depend on the number of workers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.utils.data import DataLoader

from lt_data.torch.dataset import EvalDataset, TrainBatch, TrainDataset
from lt_data.torch.sampler import StreamSampler


def train_loader(
    dataset: TrainDataset, sampler: StreamSampler, *, num_workers: int, pin_memory: bool, **extra: Any
) -> DataLoader[TrainBatch]:
    """One pass over all batches of `sampler`: its workers live as long as the run.

    Args:
        dataset: Gives samples by key.
        sampler: Gives the keys of each batch.
        num_workers: Processes; 0 loads in this one.
        pin_memory: Whether batches lie in memory that a GPU copies from without waiting.
        extra: Further arguments of `torch.utils.data.DataLoader`.
    """
    return DataLoader(
        dataset, batch_sampler=sampler, num_workers=num_workers, pin_memory=pin_memory, **_quiet(num_workers, extra)
    )


def eval_loader(
    dataset: EvalDataset,
    *,
    batch_size: int,
    num_workers: int,
    pin_memory: bool,
    rank: int = 0,
    world_size: int = 1,
    **extra: Any,
) -> DataLoader[tuple[torch.Tensor, torch.Tensor]]:
    """All samples in order, once over all ranks together: none is repeated to fill the last batch.

    Args:
        dataset: Gives samples by index.
        batch_size: Samples of a batch of this rank.
        num_workers: Processes, kept from one validation to the next; 0 loads in this one.
        pin_memory: As for `train_loader`.
        rank: This process.
        world_size: Number of processes.
        extra: Further arguments of `torch.utils.data.DataLoader`.
    """
    return DataLoader(
        dataset,
        sampler=range(rank, len(dataset), world_size),
        batch_size=batch_size,
        num_workers=num_workers,
        pin_memory=pin_memory,
        persistent_workers=num_workers > 0,
        **_quiet(num_workers, extra),
    )


def _quiet(num_workers: int, extra: Mapping[str, Any]) -> dict[str, Any]:
    """`extra` with workers that leave Ctrl-C to the main process, which then stops them in order."""
    return {"worker_init_fn": _ignore_interrupt, **extra} if num_workers else dict(extra)


def _ignore_interrupt(worker: int) -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
