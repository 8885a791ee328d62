"""Mixup and cutmix: neighbours in a batch are mixed, images and targets alike."""

from __future__ import annotations

import attrs
import numpy as np
import torch
from torch.nn import functional

from lt_train.device_copies import to_device

STREAM = 3
"""Keeps these random numbers apart from others that are seeded with the seed and the step."""


@attrs.frozen
class Mixing:
    """What is mixed.

    Sample 2k of a batch is mixed with sample 2k + 1, the same for any number of processes as long as each has an even
    share. Both keep the larger part of themselves, so that metrics of training batches count each by its own label.

    Attributes:
        mixup_alpha: α of Beta(α, α), from which the share of the other image is drawn; 0 for no mixup. Zhang et al.,
            mixup: Beyond Empirical Risk Minimization, 2018.
        cutmix_alpha: α of Beta(α, α), from which the area that is taken from the other image is drawn; 0 for no cutmix.
            Yun et al., CutMix, 2019. With both, each pair has one or the other, by a fair coin.
        seed: Of the run.
    """

    mixup_alpha: float
    cutmix_alpha: float
    seed: int

    def __bool__(self) -> bool:
        return self.mixup_alpha > 0 or self.cutmix_alpha > 0

    def __call__(
        self, images: torch.Tensor, targets: torch.Tensor, *, num_classes: int, step: int, part: int, first: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mix one forward pass of one process.

        Args:
            images: Normalised, float of shape (N, C, H, W).
            targets: Class indices, int64 of shape (N,), or float of shape (N, classes).
            num_classes: Number of classes.
            step: Optimiser step.
            part: Forward pass of it.
            first: Place of the first sample in the batch over all processes.

        Returns:
            Images, and each class's share of the target, float32 of shape (N, classes).
        """
        count = len(images) // 2 * 2
        shares = functional.one_hot(targets, num_classes).float() if targets.ndim == 1 else targets.float()
        if count == 0:
            return images, shares
        kept = self._masks(images, step, part, first)
        own = kept.mean(dim=(1, 2, 3))[:, None]
        other = torch.arange(count, device=images.device).view(-1, 2).flip(1).flatten()
        mixed = kept * images[:count] + (1 - kept) * images[:count][other]
        soft = own * shares[:count] + (1 - own) * shares[:count][other]
        return torch.cat([mixed, images[count:]]), torch.cat([soft, shares[count:]])

    def _masks(self, images: torch.Tensor, step: int, part: int, first: int) -> torch.Tensor:
        """Share of each pixel that a sample keeps, float32 of shape (2 x pairs, 1, H, W); both of a pair keep alike."""
        height, width = images.shape[2:]
        drawn = [self._draw(height, width, step, part, first // 2 + pair) for pair in range(len(images) // 2)]
        # Few numbers, so that the host does not wait for a GPU to take them.
        numbers = to_device(torch.tensor(drawn, dtype=torch.float32), images.device)
        top, left, tall, wide, kept = (column[:, None] for column in numbers.unbind(dim=1))
        rows, columns = (torch.arange(count, device=images.device) for count in (height, width))
        inside_rows = (rows >= top) & (rows < top + tall)
        inside_columns = (columns >= left) & (columns < left + wide)
        inside = inside_rows[:, :, None] & inside_columns[:, None, :]
        return torch.where(inside, 0.0, kept[:, :, None])[:, None].repeat_interleave(2, dim=0)

    def _draw(self, height: int, width: int, step: int, part: int, pair: int) -> tuple[float, ...]:
        """Draw what becomes of a pair.

        Returns:
            Top, left, height and width in pixels of the box that each takes from the other, and the share of itself
            that it keeps outside.
        """
        rng = np.random.default_rng((self.seed, step, part, pair, STREAM))
        cuts = self.cutmix_alpha > 0 and (self.mixup_alpha == 0 or rng.random() < 0.5)
        alpha = self.cutmix_alpha if cuts else self.mixup_alpha
        share = float(rng.beta(alpha, alpha))
        if not cuts:
            return 0, 0, 0, 0, max(share, 1 - share)
        # In the image's proportions, anywhere inside it.
        tall, wide = (round(side * min(share, 1 - share) ** 0.5) for side in (height, width))
        return int(rng.integers(height - tall + 1)), int(rng.integers(width - wide + 1)), tall, wide, 1.0
