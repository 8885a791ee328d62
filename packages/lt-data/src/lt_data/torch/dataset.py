"""Samples for a PyTorch DataLoader."""

from __future__ import annotations

from typing import NamedTuple

import attrs
import numpy as np
import torch
from torch.utils.data import Dataset

from lt_data.images.open import load_image
from lt_data.index.samples import SampleIndex
from lt_data.preprocessing import preprocess
from lt_data.task import Preprocessing
from lt_data.torch.augment import Augmentation
from lt_data.torch.sampler import SampleKey


class TrainBatch(NamedTuple):
    """Training samples as they leave the worker; `finish` makes them the model's input.

    Attributes:
        images: uint8 of shape (N, C, H, W), a single sample without N.
        targets: Class indices, int64 of shape (N,).
        color_matrix: float32 of shape (N, 3, 3).
        contrast: float32 of shape (N,).
    """

    images: torch.Tensor
    targets: torch.Tensor
    color_matrix: torch.Tensor
    contrast: torch.Tensor


@attrs.frozen
class TrainDataset(Dataset[TrainBatch]):
    """Augmented samples, each a pure function of (seed, epoch, sample).

    Attributes:
        samples: What to read.
        augmentation: What to do to it.
        seed: Seed of the run.
    """

    samples: SampleIndex
    augmentation: Augmentation
    seed: int

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: SampleKey) -> TrainBatch:
        """The sample `key.sample` as epoch `key.epoch` sees it.

        Raises:
            ImageDecodeError: The file is not a whole image.
        """
        # The 1 keeps this stream apart from sample_order's, which is seeded with (seed, epoch).
        rng = np.random.default_rng((self.seed, key.epoch, key.sample, 1))
        image = load_image(self.samples.path(key.sample), self.augmentation.preprocessing.num_channels)
        pixels = np.array(self.augmentation.geometry(image, rng).transpose(2, 0, 1), order="C")
        color = self.augmentation.color(rng)
        return TrainBatch(
            torch.from_numpy(pixels),
            torch.tensor(int(self.samples.labels[key.sample])),
            torch.from_numpy(color.matrix),
            torch.tensor(color.contrast, dtype=torch.float32),
        )


class EvalBatch(NamedTuple):
    """Evaluation samples as `predict` and the edge see them.

    Attributes:
        images: float32 of shape (N, C, H, W), a single sample without N.
        targets: Class indices, int64 of shape (N,).
    """

    images: torch.Tensor
    targets: torch.Tensor


@attrs.frozen
class EvalDataset(Dataset[EvalBatch]):
    """Samples exactly as `predict` and the edge runtime see them.

    Attributes:
        samples: What to read.
        preprocessing: What to do to it.
    """

    samples: SampleIndex
    preprocessing: Preprocessing

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> EvalBatch:
        """The model's input and class index of one sample.

        Raises:
            ImageDecodeError: The file is not a whole image.
        """
        image = load_image(self.samples.path(index), self.preprocessing.num_channels)
        pixels = preprocess(image, self.preprocessing)
        return EvalBatch(torch.from_numpy(pixels), torch.tensor(int(self.samples.labels[index])))
