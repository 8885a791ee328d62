"""What rare classes weigh."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from lt_data import Classes, SampleIndex, listed, nearest
from lt_train.errors import TrainConfigError
from lt_train.metrics.config import TaskName

Floats = npt.NDArray[np.float64]


def class_weights(
    asked: Literal["balanced"] | Mapping[Any, float] | None, task: TaskName, classes: Classes, train: SampleIndex
) -> torch.Tensor | None:
    """Weights of the classes in the loss.

    Args:
        asked: `balanced` gives a class of n of N samples N / (classes x n), so that all classes weigh alike and the
            mean over samples is 1; for multilabel (N - n) / n, so that its positives weigh as its negatives. Or a
            mapping from class ID or name; classes that it leaves out weigh 1.
        task: For multilabel the weights are those of positives.
        classes: Their IDs and names.
        train: Training samples, which are counted.

    Returns:
        float32 of shape (classes,), None for none.

    Raises:
        TrainConfigError: A key is neither an ID nor a name, or is the ID of one class and the name of another, or both
            are given for a class.
    """
    if asked is None:
        return None
    if asked == "balanced":
        return torch.from_numpy(_balanced(samples_of_classes(train, len(classes)), len(train), task)).float()
    weights = np.ones(len(classes))
    rows: dict[int, Any] = {}
    by_name = {name: row for row, name in enumerate(classes.names)}
    by_id = {str(number): row for row, number in enumerate(classes.ids)}
    for key, weight in asked.items():
        named, numbered = by_name.get(str(key)), by_id.get(str(key))
        if named is not None and numbered is not None and named != numbered:
            own, other = classes.ids[named], classes.names[numbered]
            what = f"{str(key)!r} is the name of class {own} and the ID of {other!r}; give '{own}' or {other!r}"
            raise TrainConfigError(f"model_args.class_weights: {what}")
        row = numbered if named is None else named
        if row is None:
            known = listed([f"{number} ({name})" for number, name in zip(classes.ids, classes.names, strict=True)], 20)
            near = nearest(str(key), classes.names)
            meant = f"did you mean {near!r}?" if near else f"there are {known}"
            raise TrainConfigError(f"model_args.class_weights: {key!r} is neither an ID nor a name; {meant}")
        if row in rows:
            raise TrainConfigError(f"model_args.class_weights: {rows[row]!r} and {key!r} are the same class")
        rows[row] = key
        weights[row] = weight
    return torch.from_numpy(weights).float()


def balanced_draws(train: SampleIndex, num_classes: int) -> Floats:
    """How often each sample is to be drawn, relative to others, so that every class is drawn alike.

    A sample with several labels is drawn as its rarest class asks, one without any as the most frequent class.

    Returns:
        float64 of shape (samples,), above 0.
    """
    rarity = 1.0 / np.maximum(samples_of_classes(train, num_classes), 1)
    if train.label_ends is None:
        draws: Floats = rarity[train.labels]
        return draws
    draws = np.full(len(train), rarity.min())
    owners = np.repeat(np.arange(len(train)), np.diff(train.label_ends, prepend=0))
    np.maximum.at(draws, owners, rarity[train.labels])
    return draws


def samples_of_classes(train: SampleIndex, num_classes: int) -> npt.NDArray[np.int64]:
    """Number of samples of each class, int64 of shape (classes,)."""
    return np.bincount(train.labels, minlength=num_classes).astype(np.int64)


def _balanced(counts: npt.NDArray[np.int64], samples: int, task: TaskName) -> Floats:
    if task == "multiclass":
        weights = samples / (len(counts) * np.maximum(counts, 1))
    else:
        weights = (samples - counts) / np.maximum(counts, 1)
    # A class that no sample has, or all have, has nothing to be balanced against.
    return np.where((counts == 0) | ((weights == 0) & (task == "multilabel")), 1.0, weights)
