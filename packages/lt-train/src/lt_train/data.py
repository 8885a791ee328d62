"""What a run learns from."""

from __future__ import annotations

from typing import Literal

import attrs

from lt_data import DatasetIndex, SampleIndex
from lt_data.torch import Augmentation


@attrs.frozen(kw_only=True)
class TrainData:
    """What a run learns from.

    Attributes:
        train: Samples to train on.
        val: Samples to validate on.
        augmentation: What training does to its samples.
        test: Samples that the best model is tested with at the end; None for no test.
        on_bad_image: What happens with images that cannot be read: `"skip"` leaves them out, logs each once and stops
            when they are too many (`lt_data.torch.most_bad_images`); `"error"` stops at the first.
        cache: Where decoded training images are kept for later epochs: `"ram"`, `"disk"` (in the run folder), or None.
        cache_limit_gb: The most that the cache takes, in units of 10^9 bytes.
        split: The data set, when its validation samples were split off its training samples: written to the run
            folder as CSV files.
    """

    train: SampleIndex
    val: SampleIndex
    augmentation: Augmentation
    test: SampleIndex | None = None
    on_bad_image: Literal["skip", "error"] = "skip"
    cache: Literal["ram", "disk"] | None = None
    cache_limit_gb: float = 8.0
    split: DatasetIndex | None = None
