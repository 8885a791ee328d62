"""Samples for a PyTorch DataLoader."""

from __future__ import annotations

import attrs
import numpy as np
import torch
from torch.utils.data import Dataset

from lt_data.images.open import load_image
from lt_data.index.samples import SampleIndex
from lt_data.preprocessing import preprocess
from lt_data.task import Preprocessing
from lt_data.torch.augment import Augmentation
from lt_data.torch.batches import EvalBatch, TrainBatch
from lt_data.torch.cache import SampleCache
from lt_data.torch.color import ColorDraw
from lt_data.torch.reading import Jpeg, Pixels, open_image
from lt_data.torch.sampler import SampleKey


@attrs.frozen
class TrainDataset(Dataset[TrainBatch]):
    """Augmented samples, each a pure function of the seed and its key.

    Attributes:
        samples: What to read.
        augmentation: What to do to it.
        seed: Seed of the run.
        cache: Where decoded images are kept for later epochs; None decodes anew each time.
    """

    samples: SampleIndex
    augmentation: Augmentation
    seed: int
    cache: SampleCache | None = None

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: SampleKey) -> TrainBatch:
        """The sample `key.sample` as epoch `key.epoch` sees it.

        Raises:
            ImageDecodeError: The file is not a whole image.
        """
        # The 1 keeps this stream apart from sample_order's, which is seeded with (seed, epoch).
        rng = np.random.default_rng((self.seed, key.epoch, key.sample, 1, *([key.repeat] if key.repeat else [])))
        pixels = self.augmentation.geometry(self._image(key.sample), rng)
        return as_batch(pixels, self.samples.target(key.sample), self.augmentation.color(rng))

    def _image(self, sample: int) -> Jpeg | Pixels:
        if self.cache is not None:
            return Pixels(self.cache.get(sample, self._decode))
        return self._decode(sample)

    def _decode(self, sample: int) -> Jpeg | Pixels:
        spec = self.augmentation.preprocessing
        return open_image(self.samples.image(sample), spec.num_channels, spec.decoding)

    def substitute(self, key: SampleKey, attempt: int) -> SampleKey:
        """The sample that takes the place of one that cannot be read, as its own epoch would see it elsewhere."""
        rng = np.random.default_rng(
            (self.seed, key.epoch, key.sample, 2, attempt, *([key.repeat] if key.repeat else []))
        )
        return SampleKey(key.epoch, int(rng.integers(len(self))))


def as_batch(pixels: torch.Tensor, target: int | np.ndarray, color: ColorDraw) -> TrainBatch:
    """One sample, uint8 (C, H, W), with all that is to be done to it on the device."""
    return TrainBatch(
        images=pixels,
        targets=torch.as_tensor(target),
        color_matrix=torch.from_numpy(color.matrix),
        contrast=torch.tensor(color.contrast, dtype=torch.float32),
        sigma=torch.tensor(color.sigma, dtype=torch.float32),
        kept=torch.from_numpy(color.kept),
        erased=torch.tensor(attrs.astuple(color.erased)),
    )


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
        """The model's input and target of one sample.

        Raises:
            ImageDecodeError: The file is not a whole image.
        """
        spec = self.preprocessing
        image = load_image(self.samples.image(index), spec.num_channels, spec.decoding)
        return EvalBatch(torch.from_numpy(preprocess(image, spec)), torch.as_tensor(self.samples.target(index)))
