"""lt-data's evaluation preprocessing as a PyTorch module, for graphs that take images of any size.

Pillow resizes in two passes, first along rows and then along columns, and rounds to 8 bits after each. A pass is a
product with a matrix of weights that Pillow has rounded to 22 bits after the point; in float64 such products are exact,
so the result is Pillow's to the bit. Crop and border are in the matrices too, which keeps all shapes fixed but that of
the image.
"""

from __future__ import annotations

import attrs
import numpy as np
import torch
from torch import nn

from lt_data import Preprocessing

PRECISION_BITS = 22
"""Binary digits after the point of Pillow's weights for 8-bit images (32 bits less 8 of the value and 2 for sums)."""

SUPPORT = {"bilinear": 1.0, "bicubic": 2.0}
"""Reach of Pillow's filters at scale 1, in pixels."""
CUBIC_A = -0.5
"""Of Keys' cubic convolution (IEEE Trans. ASSP 29, 1981), as in Pillow."""


@attrs.frozen
class _Axis:
    """Where one side of the image goes; float64 scalars, in pixels, but for `places`.

    Attributes:
        places: 0, 1, ... for each pixel of the image: data, not a shape, so that a graph can compute with its length.
        start: First pixel taken.
        taken: Pixels taken.
        offset: First pixel written.
        written: Pixels written.
    """

    places: torch.Tensor
    start: torch.Tensor
    taken: torch.Tensor
    offset: torch.Tensor
    written: torch.Tensor


class EvaluationPreprocessing(nn.Module):
    """From images, uint8 (N, H, W, C), to what `lt_data.preprocess` makes of each, float32 (N, C, height, width)."""

    scale: torch.Tensor
    offset: torch.Tensor
    border: torch.Tensor

    def __init__(self, spec: Preprocessing) -> None:
        super().__init__()
        self.spec = spec
        mean, std = np.asarray(spec.mean, dtype=np.float64), np.asarray(spec.std, dtype=np.float64)
        self.register_buffer("scale", torch.from_numpy((1.0 / (255.0 * std)).astype(np.float32)).view(-1, 1, 1))
        self.register_buffer("offset", torch.from_numpy((-mean / std).astype(np.float32)).view(-1, 1, 1))
        border = np.clip(np.floor(mean * 255.0 + 0.5), 0, 255)
        self.register_buffer("border", torch.from_numpy(border).view(-1, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Crop or border, antialiased resize, normalisation."""
        rows, columns = self._axes(_places(images[0, :, 0, 0]), _places(images[0, 0, :, 0]))
        pixels = images.permute(0, 3, 1, 2).to(torch.float64)
        pixels = _rounded(pixels @ self._weights(columns, self.spec.image_size[1], across=True))
        pixels = _rounded(self._weights(rows, self.spec.image_size[0]) @ pixels)
        if self.spec.resize_mode == "letterbox":
            inside = _inside(rows, self.spec.image_size[0])[:, None] & _inside(columns, self.spec.image_size[1])
            pixels = torch.where(inside, pixels, self.border)
        return pixels.to(torch.float32) * self.scale + self.offset

    def _axes(self, rows: torch.Tensor, columns: torch.Tensor) -> tuple[_Axis, _Axis]:
        """As `lt_data.preprocessing` places the image; see there for the reasons."""
        sides = [places[-1] + 1.0 for places in (rows, columns)]
        targets = [torch.tensor(float(side), dtype=torch.float64) for side in self.spec.image_size]
        zero = torch.zeros((), dtype=torch.float64)
        if self.spec.resize_mode == "squash":
            starts, boxes, offsets, inner = [zero, zero], sides, [zero, zero], targets
        elif self.spec.resize_mode == "letterbox":
            scale = torch.minimum(targets[0] / sides[0], targets[1] / sides[1])
            starts, boxes = [zero, zero], sides
            inner = [torch.clamp(torch.floor(side * scale + 0.5), min=1.0) for side in sides]
            offsets = [torch.floor((target - side) / 2.0) for target, side in zip(targets, inner, strict=True)]
        else:
            # A tensor, since the exporter would write the number in single precision.
            zoom = torch.tensor(self.spec.resize_scale, dtype=torch.float64)
            scale = torch.minimum(sides[0] / targets[0], sides[1] / targets[1]) / zoom
            wanted = [torch.clamp(torch.floor(target * scale + 0.5), min=1.0) for target in targets]
            boxes = [torch.minimum(side, box) for side, box in zip(sides, wanted, strict=True)]
            starts = [torch.floor((side - box) / 2.0) for side, box in zip(sides, boxes, strict=True)]
            offsets, inner = [zero, zero], targets
        down, right = (
            _Axis(places, *of_side)
            for places, *of_side in zip((rows, columns), starts, boxes, offsets, inner, strict=True)
        )
        return down, right

    def _weights(self, axis: _Axis, size: int, *, across: bool = False) -> torch.Tensor:
        """Weights of each pixel of the image in each pixel written, float64 whole numbers of shape (size, length).

        With `across` of shape (length, size): a transposition of its own would be fused with the product, which older
        versions of ONNX Runtime cannot compute in float64.
        """
        scale = axis.taken / axis.written
        filter_scale = torch.clamp(scale, min=1.0)
        support = SUPPORT[self.spec.interpolation] * filter_scale
        over, along = (0, 1) if across else (1, 0)
        center = ((torch.arange(size, dtype=torch.float64) - axis.offset + 0.5) * scale).unsqueeze(over)
        place = (axis.places - axis.start).unsqueeze(along)
        first = torch.clamp(torch.floor(center - support + 0.5), min=0.0)
        last = torch.minimum(torch.floor(center + support + 0.5), axis.taken)
        weights = self._filter((place - center + 0.5) * (1.0 / filter_scale))
        weights = torch.where((place >= first) & (place < last), weights, 0.0)
        # Pixels of a border have no weights at all.
        weights = weights / torch.clamp(weights.sum(dim=over, keepdim=True), min=1e-9)
        return torch.sign(weights) * torch.floor(weights.abs() * 2.0**PRECISION_BITS + 0.5)

    def _filter(self, distance: torch.Tensor) -> torch.Tensor:
        x = distance.abs()
        if self.spec.interpolation == "bilinear":
            return torch.clamp(1.0 - x, min=0.0)
        a = CUBIC_A
        near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
        far = (((x - 5.0) * x + 8.0) * x - 4.0) * a
        return torch.where(x < 1.0, near, torch.where(x < 2.0, far, 0.0))


def _places(line: torch.Tensor) -> torch.Tensor:
    return torch.cumsum(torch.ones_like(line, dtype=torch.float64), dim=0) - 1.0


def _rounded(sums: torch.Tensor) -> torch.Tensor:
    """Weighted sums of pixels to 8 bits, as Pillow rounds them."""
    half = 2.0 ** (PRECISION_BITS - 1)
    return torch.clamp(torch.floor((sums + half) / 2.0**PRECISION_BITS), 0.0, 255.0)


def _inside(axis: _Axis, size: int) -> torch.Tensor:
    """Which pixels of a side are the image's and not the border's, bool of shape (size,)."""
    place = torch.arange(size, dtype=torch.float64) - axis.offset
    return (place >= 0.0) & (place < axis.written)
