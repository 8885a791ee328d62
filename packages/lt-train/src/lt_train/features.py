"""Features of a frozen backbone: computed once, kept, and trained on in place of images."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from lt_data import Preprocessing, SampleIndex
from lt_data.torch import EvalBatch, EvalDataset, Finisher, SampleKey, TrainBatch, TrainDataset, train_loader
from lt_models import Classifier
from lt_train.auto import Plan
from lt_train.device_copies import to_device
from lt_train.device_memory import InParts
from lt_train.errors import OutOfSpaceError
from lt_train.ranks import FabricRanks
from lt_train.signals import StopRequest
from lt_train.sources import Inputs, Stream

logger = logging.getLogger(__name__)

IN_MEMORY_BYTES = 2 * 10**9
"""Features of training that take more lie in a file that is mapped into memory; those of validation are not kept."""


def head_of(classifier: Classifier) -> nn.Module:
    """The part of a classifier that turns features into logits, with the classifier's own parameters."""
    return nn.Sequential(classifier.dropout, classifier.head)


@attrs.frozen
class PlainViews:
    """Training samples as validation would see them.

    Attributes:
        samples: What to read.
        preprocessing: Of validation.
        substitutes: Says what takes the place of a sample that cannot be read.
    """

    samples: SampleIndex
    preprocessing: Preprocessing
    substitutes: TrainDataset

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: SampleKey) -> EvalBatch:
        """The sample `key.sample`, without augmentation.

        Raises:
            ImageDecodeError: The file is not a whole image.
        """
        return EvalDataset(self.samples, self.preprocessing)[key.sample]

    def substitute(self, key: SampleKey, attempt: int) -> SampleKey:
        """As training on images does it."""
        return self.substitutes.substitute(key, attempt)


class FeatureSource:
    """Features of each training sample, computed before the first step.

    A batch holds the samples that a batch of images would hold. In epoch e a sample is seen as in its view e modulo the
    number of views.
    """

    def __init__(
        self,
        fabric: Fabric,
        plan: Plan,
        classifier: Classifier,
        dataset: TrainDataset,
        preprocessing: Preprocessing,
        loading: dict[str, Any],
        folder: Path,
    ) -> None:
        self._fabric, self._loading = fabric, loading
        self._dataset, self._preprocessing, self._folder = dataset, preprocessing, folder
        self._share = plan.batch_size // fabric.world_size
        asked = plan.feature_views
        assert asked is not None
        self._augmented, self._views = asked > 0, max(1, asked)
        self._computes = InParts(partial(features_of, classifier), "features")
        self._features: torch.Tensor | None = None
        self._labels = torch.empty(0)

    def prepare(self, stop: StopRequest) -> bool:
        """Compute the features, each rank a share; False when a stop was asked for meanwhile.

        Raises:
            ImageDecodeError: A file is not a whole image, and such files are not to be skipped.
            DatasetError: They are, but too many are such files.
            OutOfSpaceError: The features do not fit on the disk.
        """
        began, rows = time.perf_counter(), self._views * len(self._dataset)
        ranks = FabricRanks(self._fabric)
        world, share = self._fabric.world_size, self._share
        for number, (features, labels) in enumerate(self._computed(rows)):
            (signal,) = ranks.largest(stop.signal)
            stop.agree(signal)
            if signal:
                return False
            if self._features is None:
                self._features = allocate(rows, features.shape[1], self._folder)
                self._labels = torch.empty((rows, *labels.shape[1:]), dtype=labels.dtype)
            # Rank r computes rows r, r + world, …; the last ones are computed twice where that does not come out even.
            start = number * share * world
            places = np.concatenate([start + rank + world * np.arange(len(features)) for rank in range(world)])
            kept = places < rows
            for table, values in ((self._features, features), (self._labels, labels)):
                table[places[kept]] = torch.from_numpy(ranks.collect(values.cpu().numpy())[kept])
        logger.info(
            "the backbone is frozen: features of %d images, %s, in %.1f s",
            len(self._dataset),
            f"{self._views} augmented views of each" if self._augmented else "without augmentation",
            time.perf_counter() - began,
        )
        return True

    def inputs(self, stream: Stream, first_step: int) -> Iterator[Inputs]:
        """Kept features and their labels."""
        assert self._features is not None
        fabric, plan, size = self._fabric, stream.plan, len(self._dataset)
        sampler = stream.sampler(first_step, plan.steps, rank=fabric.global_rank, world_size=fabric.world_size)
        for keys in sampler:
            rows = torch.tensor([(key.epoch + key.repeat) % self._views * size + key.sample for key in keys])
            labels = to_device(self._labels[rows], fabric.device)
            yield Inputs(to_device(self._features[rows], fabric.device), labels, labels)

    @torch.no_grad()
    def _computed(self, rows: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Features, float32 (N, F), and labels of this rank's rows, batch by batch; alike many for all ranks."""
        world, share = self._fabric.world_size, self._share
        mine = np.minimum(np.arange(self._fabric.global_rank, -(-rows // world) * world, world), rows - 1)
        keys = [SampleKey(*(int(n) for n in divmod(row, len(self._dataset)))) for row in mine]
        batches = [keys[start : start + share] for start in range(0, len(keys), share)]
        if not self._augmented:
            plain = PlainViews(self._dataset.samples, self._preprocessing, self._dataset)
            for batch in train_loader(plain, batches, **self._loading):
                yield self._computes(batch.images.to(self._fabric.device)), batch.targets
            return
        finish = Finisher(self._dataset.augmentation)
        for loaded in train_loader(self._dataset, batches, **self._loading):
            images = finish(TrainBatch(*(to_device(tensor, self._fabric.device) for tensor in loaded)))
            yield self._computes(images), loaded.targets


class KeptBatches:
    """Features of validation batches: computed in the first pass, kept for all later ones."""

    def __init__(
        self, classifier: Classifier, batches: Iterable[tuple[torch.Tensor, torch.Tensor]], device: torch.device
    ) -> None:
        self._batches, self._device = batches, device
        self._computes = InParts(partial(features_of, classifier), "features for validation")
        self._kept: list[tuple[torch.Tensor, torch.Tensor]] | None = None

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Features, float32 (N, F), and targets of each batch."""
        if self._kept is not None:
            yield from self._kept
            return
        kept, num_bytes = [], 0
        for images, targets in self._batches:
            features = self._computes(images.to(self._device)).cpu()
            yield features, targets
            num_bytes += features.nbytes
            if num_bytes <= IN_MEMORY_BYTES:
                kept.append((features, targets))
        if num_bytes <= IN_MEMORY_BYTES:
            self._kept = kept


@torch.no_grad()
def features_of(classifier: Classifier, images: torch.Tensor) -> torch.Tensor:
    """Features, float32 of shape (N, F), as validation, `predict` and the edge have them."""
    classifier.backbone.eval()
    weight_type = next(classifier.backbone.parameters()).dtype
    return classifier.features(images.to(weight_type)).float()


def allocate(rows: int, width: int, folder: Path) -> torch.Tensor:
    """A float32 table (rows, width) in memory, or, when it is large, in a file that goes away with the process.

    The file lies in `folder`; where that is on the disk of another machine only, among the system's temporary files.

    Raises:
        OutOfSpaceError: It does not fit on the disk.
    """
    num_bytes = rows * width * np.dtype(np.float32).itemsize
    if num_bytes <= IN_MEMORY_BYTES:
        return torch.empty(rows, width)
    place, why = folder, ""
    if not folder.is_dir():
        place, why = Path(tempfile.gettempdir()), f", as {folder} is not on this machine"
    with tempfile.TemporaryFile(dir=place) as stream:
        try:
            # Writing to a mapped file that the disk has no room for would end the process.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(stream.fileno(), 0, num_bytes)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EFBIG):
                raise
            reason = "features of the frozen backbone do not fit: lower model_args.feature_views, None keeps none"
            raise OutOfSpaceError(place, num_bytes, shutil.disk_usage(place).free, reason) from error
        logger.info("features take %.1f GB: kept in a file in %s%s", num_bytes / 1e9, place, why)
        return torch.from_numpy(np.memmap(stream, np.float32, "r+", shape=(rows, width)))
