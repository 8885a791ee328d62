"""One pass of a model over labelled images."""

from __future__ import annotations

from typing import Literal

import attrs
import numpy as np
import torch

from lightly_train.model import ImageClassification
from lightly_train.scored import ScoredSamples
from lt_data import SampleIndex
from lt_data.torch import EvalDataset, eval_loader


@torch.no_grad()
def score_samples(
    model: ImageClassification,
    samples: SampleIndex,
    *,
    batch_size: int,
    num_workers: int,
    on_bad_image: Literal["skip", "error"] = "error",
) -> ScoredSamples:
    """Scores of all samples, on the model's device and in the precision of its weights.

    Args:
        model: In evaluation mode.
        samples: What is scored.
        batch_size: Images at once.
        num_workers: Processes that load images, 0 for none.
        on_bad_image: `"skip"` leaves out images that cannot be read and logs each; they are not in the result.

    Raises:
        ImageDecodeError: A file is not a whole image, and such files are not to be skipped.
        DatasetError: They are, but more than 1 % are such files.
    """
    weights = next(model.parameters())
    # In the place of its label each sample has its number, which tells which were left out.
    numbered = attrs.evolve(samples, labels=np.arange(len(samples), dtype=np.int32), label_ends=None)
    batches = eval_loader(
        EvalDataset(numbered, model.task.preprocessing),
        batch_size=batch_size,
        num_workers=min(num_workers, -(-len(samples) // batch_size)),
        pin_memory=weights.device.type == "cuda",
        on_bad_image=on_bad_image,
        give_way=weights.device.type == "cpu",
    )
    scores = np.empty((len(samples), len(model.task.classes)), dtype=np.float32)
    read: list[np.ndarray] = []
    for images, numbers in batches:
        logits = model(images.to(weights.device, weights.dtype, non_blocking=True)).float().cpu()
        found = logits.softmax(dim=1) if model.task.task == "multiclass" else logits.sigmoid()
        scores[numbers.numpy()] = found.numpy()
        read.append(numbers.numpy())
    kept = np.concatenate(read) if read else np.empty(0, dtype=np.int64)
    if len(kept) == len(samples):
        return ScoredSamples(task=model.task, samples=samples, scores=scores)
    return ScoredSamples(task=model.task, samples=samples.take(kept), scores=scores[kept])
