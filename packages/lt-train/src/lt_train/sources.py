"""Where the inputs of each step come from: augmented images, or features of a frozen backbone that were kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import attrs
import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric

from lt_data import SampleIndex
from lt_data.torch import Finisher, StreamSampler, TrainBatch, TrainDataset, train_loader
from lt_train.auto import Plan
from lt_train.device_copies import to_device
from lt_train.mixing import Mixing
from lt_train.signals import StopRequest


class Inputs(NamedTuple):
    """What one forward pass of training needs, on the device.

    Attributes:
        inputs: Of the module that is trained: normalised images, float of shape (N, C, H, W), or features (N, F).
        targets: What the loss compares with; shares of the classes where images were mixed.
        labels: Targets before mixing, as `lt_data.torch.TrainBatch` has them.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    labels: torch.Tensor


@attrs.frozen(eq=False)
class Stream:
    """Which samples each step sees.

    Attributes:
        samples: To draw from.
        plan: Number and size of batches.
        seed: Seed of the run.
        draws: Weight of each sample; see `StreamSampler`.
    """

    samples: SampleIndex
    plan: Plan
    seed: int
    draws: npt.NDArray[np.float64] | None

    def sampler(self, first_step: int, stop_step: int, *, rank: int = 0, world_size: int = 1) -> StreamSampler:
        """Keys of the batches of one rank, from a step to before another."""
        return StreamSampler(
            num_samples=len(self.samples),
            batch_size=self.plan.batch_size,
            start=first_step * self.plan.accumulation,
            stop=stop_step * self.plan.accumulation,
            seed=self.seed,
            rank=rank,
            world_size=world_size,
            draws=self.draws,
        )

    def files(self, step: int) -> list[Path]:
        """The images of a step, over all ranks."""
        return [self.samples.path(key.sample) for keys in self.sampler(step, step + 1) for key in keys]


class Source(Protocol):
    """Gives the inputs of a run's forward passes, a function of the seed only."""

    def prepare(self, stop: StopRequest) -> bool:
        """Do what is to be done once before the first step; False when a stop was asked for meanwhile."""

    def inputs(self, stream: Stream, first_step: int) -> Iterator[Inputs]:
        """Those of each forward pass from a step on, `Plan.accumulation` for each step."""


@attrs.frozen(eq=False)
class ImageSource:
    """Augmented images, decoded by the loader's workers.

    Attributes:
        fabric: The run's.
        dataset: How they are read.
        mixing: What is done to whole batches.
        num_classes: For mixed targets.
        loading: Arguments of `train_loader`.
    """

    fabric: Fabric
    dataset: TrainDataset
    mixing: Mixing
    num_classes: int
    loading: dict[str, Any]

    def prepare(self, stop: StopRequest) -> bool:
        """Nothing is to be done."""
        return True

    def inputs(self, stream: Stream, first_step: int) -> Iterator[Inputs]:
        """Augmented batches, mixed if they are to be."""
        fabric, plan = self.fabric, stream.plan
        sampler = stream.sampler(first_step, plan.steps, rank=fabric.global_rank, world_size=fabric.world_size)
        finish = Finisher(self.dataset.augmentation)
        first = fabric.global_rank * (plan.batch_size // fabric.world_size)
        loader = train_loader(self.dataset, sampler, **self.loading)
        for number, loaded in enumerate(loader, start=first_step * plan.accumulation):
            batch = TrainBatch(*(to_device(tensor, fabric.device) for tensor in loaded))
            images, targets = finish(batch), batch.targets
            if self.mixing:
                step, part = divmod(number, plan.accumulation)
                images, targets = self.mixing(
                    images, targets, num_classes=self.num_classes, step=step, part=part, first=first
                )
            yield Inputs(images, targets, batch.targets)
