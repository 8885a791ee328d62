"""The optimiser and its learning rate."""

from __future__ import annotations

import math

from torch import nn
from torch.optim import AdamW, Optimizer

from lt_models import param_groups
from lt_train.auto import Plan


def make_optimizer(model: nn.Module, plan: Plan, *, fused: bool) -> Optimizer:
    """AdamW without weight decay on norms and biases.

    Args:
        model: Its trainable parameters are optimised.
        plan: Has the rates.
        fused: Whether one kernel does all of a step; else PyTorch chooses.
    """
    layer_decay = plan.layer_decay if plan.layer_decay < 1.0 else None
    groups = param_groups(model, weight_decay=plan.weight_decay, layer_decay=layer_decay)
    return AdamW(groups, lr=plan.lr, fused=True if fused else None)


def lr_at(step: int, plan: Plan) -> float:
    """Learning rate of step 0 ≤ step < steps: linear warm-up, then half a cosine to zero. A function, not a state."""
    if step < plan.warmup_steps:
        return plan.lr * (step + 1) / plan.warmup_steps
    progress = (step - plan.warmup_steps) / max(1, plan.steps - plan.warmup_steps)
    return plan.lr * 0.5 * (1.0 + math.cos(math.pi * progress))


def set_lr(optimizer: Optimizer, lr: float) -> None:
    """Give every parameter group its share of the learning rate: all of it, or less with layer decay."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)
