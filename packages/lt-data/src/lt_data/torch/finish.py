"""The last part of augmentation, in batches on the training device: colour, blur, normalisation, erasing."""

from __future__ import annotations

import torch
from torch.nn import functional

from lt_data.torch.augment import Augmentation
from lt_data.torch.batches import TrainBatch
from lt_data.torch.color import LUMA

CPU_CHUNK_VALUES = 2**18
"""A CPU works on so many values at once, which stay in its cache from one operation to the next: 1 MB of float32."""

BLUR_REACH = 3.0
"""A blur's kernel ends so many standard deviations from its centre, where 0.3 % of its weight is left."""


class Finisher:
    """Makes the model's input of training batches, with memory that is used again from batch to batch.

    The order is: change of colour, grey, contrast, blur, normalisation, dropped channels, erased rectangle.
    """

    def __init__(self, augmentation: Augmentation) -> None:
        transforms, spec = augmentation.transforms, augmentation.preprocessing
        mean, std = (torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1) for values in (spec.mean, spec.std))
        self._scale, self._offset = (1 / std).float(), (-mean / std).float()
        self._luma = torch.tensor(LUMA, dtype=torch.float32)
        self._recolors = transforms.color_jitter is not None or transforms.random_grayscale is not None
        self._radius = round(BLUR_REACH * transforms.gaussian_blur.max_sigma + 0.5) if transforms.gaussian_blur else 0
        self._drops = transforms.channel_drop is not None
        self._erases = transforms.random_erasing is not None
        self._memory = self._scratch = torch.empty(0)

    def __call__(self, batch: TrainBatch) -> torch.Tensor:
        """Finish a batch, on the device that it is on.

        Args:
            batch: As the loader gives it, `images` uint8 of shape (N, C, H, W).

        Returns:
            float32 of shape (N, C, H, W); on a CPU it is overwritten by the next call.
        """
        device = batch.images.device
        # Once: what is brought to a GPU at a step waits there for all that it has to do before.
        self._scale, self._offset, self._luma = (each.to(device) for each in (self._scale, self._offset, self._luma))
        out = self._output(batch.images)
        values = max(1, batch.images[:1].numel())
        chunk = max(1, CPU_CHUNK_VALUES // values) if device.type == "cpu" else max(1, len(batch.images))
        if self._scratch.shape != (chunk, *batch.images.shape[1:]) or self._scratch.device != device:
            self._scratch = torch.empty((chunk, *batch.images.shape[1:]), device=device)
        for start in range(0, len(batch.images), chunk):
            self._finish(TrainBatch(*(part[start : start + chunk] for part in batch)), out[start : start + chunk])
        if self._erases:
            _erase(out, batch.erased)
        return out

    def _output(self, images: torch.Tensor) -> torch.Tensor:
        if images.device.type != "cpu":
            return torch.empty(images.shape, dtype=torch.float32, device=images.device)
        if self._memory.shape[1:] != images.shape[1:] or len(self._memory) < len(images):
            self._memory = torch.empty(images.shape, dtype=torch.float32)
        return self._memory[: len(images)]

    def _finish(self, part: TrainBatch, out: torch.Tensor) -> None:
        pixels = out.copy_(part.images)
        on_cpu = out.device.type == "cpu"
        if self._recolors and not (on_cpu and _keeps_colors(part)):
            pixels = _recolor(pixels, part.color_matrix, part.contrast, self._luma, self._scratch[: len(pixels)])
        else:
            pixels = pixels.mul_(1 / 255)
        if self._radius and not (on_cpu and not part.sigma.any()):
            pixels = _blur(pixels, part.sigma, self._radius)
        torch.mul(pixels, self._scale, out=out).add_(self._offset)
        if self._drops:
            out.mul_(part.kept[:, :, None, None])


def _keeps_colors(part: TrainBatch) -> bool:
    return bool((part.contrast == 1.0).all()) and bool((part.color_matrix == torch.eye(3)).all())


def _recolor(
    pixels: torch.Tensor, matrix: torch.Tensor, contrast: torch.Tensor, luma_weights: torch.Tensor, out: torch.Tensor
) -> torch.Tensor:
    """clamp(contrast * matrix @ x / 255 + (1 - contrast) * mean luma), in one small matrix product a sample."""
    count, channels, height, width = pixels.shape
    flat = pixels.view(count, channels, height * width)
    changed = torch.bmm(matrix / 255, flat.mean(dim=2, keepdim=True))
    luma = luma_weights @ changed.squeeze(2).T
    offset = ((1.0 - contrast) * luma).view(count, 1, 1)
    torch.baddbmm(offset, contrast.view(count, 1, 1) * matrix / 255, flat, out=out.view_as(flat))
    return out.clamp_(0.0, 1.0)


def _blur(pixels: torch.Tensor, sigma: torch.Tensor, radius: int) -> torch.Tensor:
    """Blur each sample with its own sigma, rows then columns; edges are mirrored."""
    count, channels, height, width = pixels.shape
    reach = min(radius, height - 1, width - 1)
    distance = torch.arange(-reach, reach + 1, device=pixels.device, dtype=torch.float32)
    weight = torch.exp(-0.5 * (distance / sigma.clamp_min(1e-3)[:, None]) ** 2)
    weight = (weight / weight.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)
    planes = functional.pad(pixels, (reach,) * 4, mode="reflect").view(1, count * channels, height + 2 * reach, -1)
    planes = functional.conv2d(planes, weight[:, None, :, None], groups=count * channels)
    planes = functional.conv2d(planes, weight[:, None, None, :], groups=count * channels)
    return planes.view(count, channels, height, width)


def _erase(images: torch.Tensor, erased: torch.Tensor) -> None:
    """Set each sample's rectangle to zero, the mean colour."""
    rows = torch.arange(images.shape[2], device=images.device)
    columns = torch.arange(images.shape[3], device=images.device)
    top, left, height, width = (edge[:, None] for edge in erased.unbind(dim=1))
    inside_rows = (rows >= top) & (rows < top + height)
    inside_columns = (columns >= left) & (columns < left + width)
    images.masked_fill_((inside_rows[:, :, None] & inside_columns[:, None, :])[:, None], 0.0)
