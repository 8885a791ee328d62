"""The mean of the weights of many steps, which is validated and exported in place of the last ones."""

from __future__ import annotations

import copy

import torch
from torch import nn

from lt_models import Classifier
from lt_train.sharding import own_share

WARM_UP = 10
"""Early on the mean forgets faster: its decay at step t is at most (1 + t) / (10 + t), as in TensorFlow's
`ExponentialMovingAverage` with `num_updates`."""


class WeightAverage:
    """An exponential moving average of a classifier's weights and buffers.

    Attributes:
        model: The averaged classifier; never trained itself.
    """

    def __init__(self, classifier: Classifier, decay: float) -> None:
        self._decay = decay
        self.model = copy.deepcopy(classifier).requires_grad_(False).eval()

    @torch.no_grad()
    def update(self, classifier: nn.Module, step: int, part: str = "") -> None:
        """Take in the weights after an optimiser step.

        Args:
            classifier: Has them.
            step: Counted from 1.
            part: Name of the module that learns where the others never change; all of it by default.
        """
        decay = min(self._decay, (1 + step) / (WARM_UP + step))
        own, new = (_shares(model.get_submodule(part)) for model in (self.model, classifier))
        real = [name for name, tensor in own.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([own[name] for name in real], [new[name] for name in real], 1.0 - decay)
        for name in own.keys() - real:
            own[name].copy_(new[name])


def _shares(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: own_share(tensor) for name, tensor in module.state_dict().items()}
