"""Losses of each sample, and the scores that logits mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import torch
from torch.nn import functional

from lt_train.config import ModelArgs
from lt_train.errors import TrainConfigError
from lt_train.metrics.config import TaskName

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From logits, float (N, classes), and targets to one value ≥ 0 a sample, float32 (N,)."""

OF_TASK: Mapping[TaskName, tuple[str, ...]] = MappingProxyType(
    {"multiclass": ("cross_entropy", "focal"), "multilabel": ("bce", "focal", "asymmetric")}
)
"""Losses of each task, the default one first."""

TINY = 1e-8
"""Least base of a power: with an exponent below 1 the derivative at 0 is not finite."""


def make_loss(args: ModelArgs, task: TaskName, weights: torch.Tensor | None) -> Loss:
    """The loss that a model is trained with.

    Args:
        args: `loss`, `label_smoothing` and the settings of the loss.
        task: Multiclass or multilabel.
        weights: Of each class, float of shape (classes,); for multilabel of its positive decisions. None for 1.

    Raises:
        TrainConfigError: The task has no such loss, or the loss no label smoothing.
    """
    name = OF_TASK[task][0] if args.loss == "auto" else args.loss
    if name not in OF_TASK[task]:
        raise TrainConfigError(
            f"model_args.loss: {name!r} is no loss of {task} tasks; use {' or '.join(OF_TASK[task])}"
        )
    smoothing = args.label_smoothing
    if name == "cross_entropy":
        return partial(cross_entropy, label_smoothing=smoothing, weights=weights)
    if name == "bce":
        return partial(binary_cross_entropy, label_smoothing=smoothing, weights=weights)
    if name == "asymmetric":
        gammas, margin = args.asymmetric_gammas, args.asymmetric_margin
        return partial(asymmetric_loss, gammas=gammas, margin=margin, label_smoothing=smoothing, weights=weights)
    if task == "multiclass":
        return partial(focal_loss, gamma=args.focal_gamma, label_smoothing=smoothing, weights=weights)
    gammas = (args.focal_gamma, args.focal_gamma)
    return partial(asymmetric_loss, gammas=gammas, margin=0.0, label_smoothing=smoothing, weights=weights)


def validation_loss(task: TaskName) -> Loss:
    """The loss that validation reports, whatever a model is trained with: cross entropy, softmax or sigmoid."""
    return cross_entropy if task == "multiclass" else binary_cross_entropy


def cross_entropy(
    logits: torch.Tensor, targets: torch.Tensor, *, label_smoothing: float = 0.0, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Softmax cross entropy of each sample.

    Args:
        logits: float of shape (N, classes).
        targets: Class indices, int64 of shape (N,), or each class's share of the target, float of shape (N, classes).
        label_smoothing: Share ε of the target that is spread over all classes: the own class gets 1 - ε + ε / classes.
        weights: Factor of the samples of each class, float of shape (classes,).

    Returns:
        float32 of shape (N,), ≥ 0.
    """
    losses = functional.cross_entropy(logits.float(), targets, label_smoothing=label_smoothing, reduction="none")
    return losses if weights is None else losses * _of_samples(weights, targets)


def focal_loss(
    logits: torch.Tensor,
    targets: torch.Tensor,
    *,
    gamma: float,
    label_smoothing: float = 0.0,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Cross entropy of which each class's part counts (1 - p)^γ: what is easy already counts little.

    Lin, Goyal, Girshick, He, Dollár: Focal Loss for Dense Object Detection, ICCV 2017, equation 4, for a softmax. γ = 0
    is cross entropy. Arguments and result as of `cross_entropy`.
    """
    num_classes = logits.shape[1]
    shares = functional.one_hot(targets, num_classes).float() if targets.ndim == 1 else targets
    shares = shares * (1.0 - label_smoothing) + label_smoothing / num_classes
    log_p = logits.float().log_softmax(dim=1)
    losses = -(shares * (-log_p.expm1()).clamp(min=TINY) ** gamma * log_p).sum(dim=1)
    return losses if weights is None else losses * _of_samples(weights, targets)


def binary_cross_entropy(
    logits: torch.Tensor, targets: torch.Tensor, *, label_smoothing: float = 0.0, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Sigmoid cross entropy of each sample, the mean over its classes.

    Args:
        logits: float of shape (N, classes).
        targets: From 0 to 1, float32 of shape (N, classes).
        label_smoothing: Share ε of each target that is spread over its two outcomes: 1 becomes 1 - ε / 2, 0 becomes
            ε / 2. Each class is a question of its own, so nothing is spread over the other classes.
        weights: Factor of the positive part of each class, float of shape (classes,).

    Returns:
        float32 of shape (N,), ≥ 0.
    """
    smooth = _smooth_outcomes(targets, label_smoothing)
    losses = functional.binary_cross_entropy_with_logits(logits.float(), smooth, pos_weight=weights, reduction="none")
    return losses.mean(dim=1)


def asymmetric_loss(
    logits: torch.Tensor,
    targets: torch.Tensor,
    *,
    gammas: tuple[float, float],
    margin: float,
    label_smoothing: float = 0.0,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Sigmoid cross entropy whose positive part counts (1 - p)^γ₊ and whose negative part q^γ₋, with q = max(p - m, 0).

    Ridnik et al.: Asymmetric Loss For Multi-Label Classification, ICCV 2021, equations 5 to 7. Equal γ and no margin m
    make it the sigmoid focal loss. Other arguments and the result as of `binary_cross_entropy`.

    Args:
        logits: float of shape (N, classes).
        targets: From 0 to 1, float32 of shape (N, classes).
        gammas: γ₊ and γ₋, at least 0.
        margin: m, in [0, 1): negatives that are this unlikely count nothing.
        label_smoothing: As of `binary_cross_entropy`.
        weights: As of `binary_cross_entropy`.
    """
    logits, smooth = logits.float(), _smooth_outcomes(targets, label_smoothing)
    p = logits.sigmoid()
    shifted = (p - margin).clamp(min=TINY)
    # Without a margin the logarithm of 1 - p is exact even where p rounds to 1.
    log_rest = functional.logsigmoid(-logits) if margin == 0.0 else torch.log1p(-shifted)
    positive = (1.0 - p).clamp(min=TINY) ** gammas[0] * functional.logsigmoid(logits)
    negative = shifted ** gammas[1] * log_rest
    weighted = positive if weights is None else positive * weights
    return -(smooth * weighted + (1.0 - smooth) * negative).mean(dim=1)


def scores_of(logits: torch.Tensor, task: TaskName) -> torch.Tensor:
    """Probabilities on the CPU, float32 of shape (N, classes), as `predict` gives them: softmax, or sigmoid each."""
    logits = logits.detach().float().cpu()
    return logits.softmax(dim=1) if task == "multiclass" else logits.sigmoid()


def _of_samples(weights: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return weights[targets] if targets.ndim == 1 else targets @ weights


def _smooth_outcomes(targets: torch.Tensor, label_smoothing: float) -> torch.Tensor:
    return targets * (1.0 - label_smoothing) + 0.5 * label_smoothing
