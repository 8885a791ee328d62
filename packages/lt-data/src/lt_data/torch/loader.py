"""Loaders whose batches do not depend on the number of workers."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Generic, TypeVar

import attrs
from torch.utils.data import DataLoader, Dataset, default_collate

from lt_data.errors import ImageDecodeError
from lt_data.torch.dataset import EvalBatch, EvalDataset, TrainBatch, TrainDataset
from lt_data.torch.sampler import StreamSampler

Batch = TypeVar("Batch")


@attrs.frozen
class Batches(Generic[Batch]):
    """What a loader gives, with errors as they are raised where the image is read.

    Attributes:
        loader: The loader; iterating again starts anew.
    """

    loader: DataLoader[Any]

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        """The batches.

        Raises:
            ImageDecodeError: A file is not a whole image.
        """
        for batch in self.loader:
            if isinstance(batch, _Failure):
                raise ImageDecodeError(batch.message, path=batch.path)
            yield batch


def train_loader(
    dataset: TrainDataset, sampler: StreamSampler, *, num_workers: int, pin_memory: bool, **workers: Any
) -> Batches[TrainBatch]:
    """One pass over all batches of `sampler`: its workers live as long as the run.

    Args:
        dataset: Gives samples by key.
        sampler: Gives the keys of each batch.
        num_workers: Processes; 0 loads in this one.
        pin_memory: Whether batches lie in memory that a GPU copies from without waiting.
        workers: `prefetch_factor`, `timeout` and `multiprocessing_context` of `torch.utils.data.DataLoader`.
    """
    return Batches(
        DataLoader(
            _Reporting(dataset),
            batch_sampler=sampler,
            num_workers=num_workers,
            pin_memory=pin_memory,
            collate_fn=_collate,
            worker_init_fn=_obey_only_the_parent,
            **workers,
        )
    )


def eval_loader(
    dataset: EvalDataset,
    *,
    batch_size: int,
    num_workers: int,
    pin_memory: bool,
    rank: int = 0,
    world_size: int = 1,
    **workers: Any,
) -> Batches[EvalBatch]:
    """All samples in order, once over all ranks together: none is repeated to fill the last batch.

    Args:
        dataset: Gives samples by index.
        batch_size: Samples of a batch of this rank.
        num_workers: Processes, kept from one validation to the next; 0 loads in this one.
        pin_memory: As for `train_loader`.
        rank: This process.
        world_size: Number of processes.
        workers: As for `train_loader`.
    """
    return Batches(
        DataLoader(
            _Reporting(dataset),
            sampler=range(rank, len(dataset), world_size),
            batch_size=batch_size,
            num_workers=num_workers,
            pin_memory=pin_memory,
            persistent_workers=num_workers > 0,
            collate_fn=_collate,
            worker_init_fn=_obey_only_the_parent,
            **workers,
        )
    )


@attrs.frozen
class _Failure:
    """An error on its way from a worker, which would otherwise arrive as the text of a traceback."""

    message: str
    path: Any


@attrs.frozen
class _Reporting(Dataset[Any]):
    """A data set that gives a `_Failure` where the inner one raises."""

    inner: Any

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, key: Any) -> Any:
        try:
            return self.inner[key]
        except ImageDecodeError as error:
            return _Failure(str(error), error.path)


def _collate(samples: Sequence[Any]) -> Any:
    return next((sample for sample in samples if isinstance(sample, _Failure)), None) or default_collate(list(samples))


def _obey_only_the_parent(worker: int) -> None:
    """Leave Ctrl-C and SIGTERM, which may reach a whole process group, to the main process, which stops its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_exit_when_asked_by, args=(os.getppid(),), daemon=True).start()


def _exit_when_asked_by(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
