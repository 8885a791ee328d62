"""From images of any kind to a batch for the model, for `predict` and for the edge."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lt_data.images.open import ImageLike, check_several, load_image
from lt_data.preprocessing import preprocess
from lt_data.task import Preprocessing


def load_inputs(images: Sequence[ImageLike], spec: Preprocessing) -> npt.NDArray[np.float32]:
    """Read and preprocess images, each exactly as validation does.

    Args:
        images: Paths, URLs, contents of files, open files, frames of DICOM files, Pillow images or uint8 arrays.
        spec: How an image becomes the model's input.

    Returns:
        float32 of shape (len(images), C, height, width).

    Raises:
        ImageDecodeError: One is not an image that lt-data reads, named with the reason.
        PredictionArgumentError: `images` is a single image.
    """
    check_several(images)
    inputs = [preprocess(load_image(image, spec.num_channels, spec.decoding), spec) for image in images]
    return np.stack(inputs) if inputs else np.empty((0, spec.num_channels, *spec.image_size), dtype=np.float32)
