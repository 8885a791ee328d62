from __future__ import annotations

import pytest
import torch

from lt_models import create_classifier
from lt_train.averaging import WeightAverage


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    return create_classifier("timm/test_resnet-notpretrained", 3)


def test_weights_and_running_means_are_averaged_with_a_decay_that_rises_to_the_one_asked_for(classifier):
    average = WeightAverage(classifier, 0.25)
    expected = {name: tensor.clone() for name, tensor in classifier.state_dict().items()}
    # (1 + t) / (10 + t) is below 0.25 at the first two steps.
    for step, decay in ((1, 2 / 11), (2, 3 / 12), (3, 0.25), (100, 0.25)):
        with torch.no_grad():
            for tensor in classifier.state_dict().values():
                tensor += 1
        average.update(classifier, step)
        for name, tensor in classifier.state_dict().items():
            if tensor.is_floating_point():
                expected[name] = decay * expected[name] + (1 - decay) * tensor
            else:
                expected[name] = tensor.clone()
    found = average.model.state_dict()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-5, atol=1e-5)


def test_the_averaged_model_never_learns_and_the_trained_one_still_does(classifier):
    average = WeightAverage(classifier, 0.9)
    assert not any(parameter.requires_grad for parameter in average.model.parameters())
    assert not average.model.training
    assert all(parameter.requires_grad for parameter in classifier.parameters())
