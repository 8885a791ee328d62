"""Images as thumbnails inside of the page."""

from __future__ import annotations

import base64
import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from lightly_train.report.markup import Html, tag
from lt_data import ImageDecodeError, SampleIndex, TaskSpec, load_image

SIDE = 96
"""Pixels of a thumbnail's longer side."""
QUALITY = 78


def thumbnail(samples: SampleIndex, index: int, task: TaskSpec, alt: str) -> Html:
    """The whole image of a sample, as the model's decoder reads it; a note in its place if it cannot be read."""
    spec = task.preprocessing
    try:
        pixels = load_image(samples.image(index), spec.num_channels, spec.decoding)
    except ImageDecodeError:
        return tag("span", "cannot be read", class_="thumb missing")
    return picture(as_rgb(pixels), alt)


def picture(image: Image.Image, alt: str) -> Html:
    """A small image with its content as its address."""
    small = image.copy()
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    small.save(stream, "WEBP", quality=QUALITY)
    address = f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"
    return tag("img", src=address, alt=alt, width=small.width, height=small.height, class_="thumb")


def as_rgb(pixels: npt.NDArray[np.uint8]) -> Image.Image:
    """An image to look at: RGBA over white, of other numbers of channels than 1, 3 and 4 the first or first three."""
    channels = pixels.shape[2]
    if channels == 4:
        rgba = Image.fromarray(pixels)
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return Image.fromarray(np.ascontiguousarray(pixels[:, :, :3]) if channels >= 3 else pixels[:, :, 0]).convert("RGB")
