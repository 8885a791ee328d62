"""Images that cannot be read, counted over all processes of a run."""

from __future__ import annotations

import json
from typing import Literal

import numpy as np

from lt_data.torch import BadImages, Failure
from lt_train.ranks import FabricRanks


def shared_bad_images(policy: Literal["skip", "error"], num_samples: int, ranks: FabricRanks) -> BadImages:
    """Those of a split that all processes read together; the first process logs them."""
    fabric = ranks.fabric
    return BadImages(policy, num_samples, log=fabric.is_global_zero, alone=fabric.world_size == 1)


def count_together(bad_images: BadImages, ranks: FabricRanks) -> None:
    """Count on every process what any of them could not read since the last call; all of them must ask.

    Raises:
        DatasetError: Too many of the split, on every process.
    """
    (most,) = ranks.largest(bad_images.num_new)
    if not most:
        return
    lines = "".join(f"{json.dumps([new.message, str(new.path)])}\n" for new in bad_images.take_new())
    everyone = ranks.collect(np.frombuffer(lines.encode(), dtype=np.uint8)).tobytes().decode()
    bad_images.count(Failure(*json.loads(line)) for line in everyone.splitlines())
