"""Loaders whose batches do not depend on the number of workers."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar

import attrs
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from lt_data.errors import ImageDecodeError
from lt_data.torch.bad_images import BadImages, Failure
from lt_data.torch.sampler import SampleKey

Batch = TypeVar("Batch")
Sample_co = TypeVar("Sample_co", covariant=True)

OnBadImage = Literal["skip", "error"]

MAX_SUBSTITUTES = 20
"""So many samples are tried for one that cannot be read; with 1 % of bad images none of them is one in 10^40 times."""


PACKED_BYTES = 1 << 14
"""So much is copied in no time."""

LEAST_PRIORITY = 19
"""The nicest that POSIX has."""


class KeyedDataset(Protocol[Sample_co]):
    """Samples by key, such as `TrainDataset`."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: SampleKey) -> Sample_co:
        """One sample."""

    def substitute(self, key: SampleKey, attempt: int) -> SampleKey:
        """What takes the place of a sample that cannot be read."""


class IndexedDataset(Protocol[Sample_co]):
    """Samples by index, such as `EvalDataset`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample_co:
        """One sample."""


class Batches(Generic[Batch]):
    """What a loader gives; iterating again starts anew.

    Attributes:
        loader: The loader.
        bad_images: What could not be read so far.
    """

    def __init__(self, loader: DataLoader[Any], bad_images: BadImages) -> None:
        self.loader, self.bad_images = loader, bad_images

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        """The batches.

        Raises:
            ImageDecodeError: A file is not a whole image, and such files are not to be skipped.
            DatasetError: They are, but too many of all are such files.
        """
        for batch, failures in self._items():
            self.bad_images.record(failures)
            if batch is not None:
                yield _unpacked(batch)

    def _items(self) -> Iterator[_Item]:
        items = iter(self.loader)
        while True:
            try:
                yield next(items)
            except StopIteration:
                return
            except (OSError, EOFError) as error:
                if not self.loader.num_workers or "in DataLoader worker process" in str(error):
                    raise
                # Tensors are fetched from the process that made them. PyTorch has words of its own for one that is
                # gone, but not where it goes in that very moment.
                raise RuntimeError("DataLoader worker (pid unknown) closed its connection") from error


def train_loader(
    dataset: KeyedDataset[Batch],
    sampler: Iterable[list[SampleKey]],
    *,
    num_workers: int,
    pin_memory: bool = False,
    on_bad_image: OnBadImage = "error",
    give_way: bool = False,
    bad_images: BadImages | None = None,
    **workers: Any,
) -> Batches[Batch]:
    """One pass over all batches of `sampler`: its workers live as long as the run.

    Args:
        dataset: Gives samples by key.
        sampler: Gives the keys of each batch, such as `StreamSampler`.
        num_workers: Processes; 0 loads in this one.
        pin_memory: Whether batches lie in memory that a GPU copies from without waiting.
        on_bad_image: `"skip"` puts another sample, a function of (seed, epoch, sample), in the place of one that cannot
            be read.
        give_way: Whether processes take the processor only when nothing else wants it (POSIX): for a model that runs
            on the same processors, whose threads wait for each other whenever one of them is held up.
        bad_images: Is told what cannot be read; None for one of the loader's own, as of a process that is alone.
        workers: `prefetch_factor`, `timeout` and `multiprocessing_context` of `torch.utils.data.DataLoader`.
    """
    loader = DataLoader(
        _Reporting(dataset, dataset.substitute if on_bad_image == "skip" else None),
        batch_sampler=sampler,
        num_workers=num_workers,
        pin_memory=pin_memory,
        collate_fn=_collate if pin_memory else _collate_and_pack,
        worker_init_fn=_begin_and_give_way if give_way else _obey_only_the_parent,
        **workers,
    )
    return Batches(loader, BadImages(on_bad_image, len(dataset)) if bad_images is None else bad_images)


def eval_loader(
    dataset: IndexedDataset[Batch],
    *,
    batch_size: int,
    num_workers: int,
    pin_memory: bool = False,
    rank: int = 0,
    world_size: int = 1,
    on_bad_image: OnBadImage = "error",
    give_way: bool = False,
    bad_images: BadImages | None = None,
    **workers: Any,
) -> Batches[Batch]:
    """All samples in order, once over all ranks together: none is repeated to fill the last batch.

    Args:
        dataset: Gives samples by index, such as `EvalDataset`.
        batch_size: Samples of a batch of this rank.
        num_workers: Processes, kept from one validation to the next; 0 loads in this one.
        pin_memory: As for `train_loader`.
        rank: This process.
        world_size: Number of processes.
        on_bad_image: `"skip"` leaves out what cannot be read; a batch is then smaller.
        give_way: As for `train_loader`.
        bad_images: As for `train_loader`.
        workers: As for `train_loader`.
    """
    loader = DataLoader(
        _Reporting(dataset, None),
        sampler=range(rank, len(dataset), world_size),
        batch_size=batch_size,
        num_workers=num_workers,
        pin_memory=pin_memory,
        persistent_workers=num_workers > 0,
        collate_fn=_collate if pin_memory else _collate_and_pack,
        worker_init_fn=_begin_and_give_way if give_way else _obey_only_the_parent,
        **workers,
    )
    return Batches(loader, BadImages(on_bad_image, len(dataset)) if bad_images is None else bad_images)


class _Item(NamedTuple):
    """A sample, or a batch of them, with what could not be read on the way; None where nothing could."""

    sample: Any
    failures: tuple[Failure, ...]


@attrs.frozen
class _Reporting(Dataset[_Item]):
    """A data set that reports where the inner one raises, and asks for substitutes if there are any."""

    inner: Any
    substitute: Callable[[Any, int], Any] | None

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, key: Any) -> _Item:
        failures: list[Failure] = []
        wanted = key
        for attempt in range(1 + (MAX_SUBSTITUTES if self.substitute else 0)):
            try:
                return _Item(self.inner[wanted], tuple(failures))
            except ImageDecodeError as error:
                failures.append(Failure(str(error), error.path))
            wanted = self.substitute(key, attempt) if self.substitute else None
        return _Item(None, tuple(failures))


def _collate(items: Sequence[_Item]) -> _Item:
    samples = [item.sample for item in items if item.sample is not None]
    failures = tuple(failure for item in items for failure in item.failures)
    return _Item(default_collate(samples) if samples else None, failures)


def _collate_and_pack(items: Sequence[_Item]) -> _Item:
    """Small tensors go along as arrays: each tensor costs the reader a meeting with the busy process that made it."""
    item = _collate(items)
    return item._replace(sample=_mapped(item.sample, _packed))


def _packed(value: Any) -> Any:
    return value.numpy() if isinstance(value, torch.Tensor) and value.nbytes <= PACKED_BYTES else value


def _unpacked(batch: Any) -> Any:
    return _mapped(batch, lambda value: torch.from_numpy(value) if isinstance(value, np.ndarray) else value)


def _mapped(batch: Any, change: Callable[[Any], Any]) -> Any:
    """A batch with each field changed; of one without fields itself."""
    return type(batch)(*map(change, batch)) if hasattr(batch, "_fields") else change(batch)


def _begin_and_give_way(worker: int) -> None:
    if hasattr(os, "nice"):
        os.nice(LEAST_PRIORITY)
    _obey_only_the_parent(worker)


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
