"""A training step on a GPU that is not there: PyTorch's fake tensors have its device, and no memory.

Nothing is computed. An operation whose tensors are on different devices fails as on a GPU, and so does whatever makes
the host read from it. The gradient is given, as PyTorch's engine asks the driver for each device.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.accelerators import CPUAccelerator
from lightning_fabric.strategies import SingleDeviceStrategy
from torch import nn
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

import lt_train.sources
from lt_data import TransformConfig, structure
from lt_data.torch import Augmentation, SampleKey, TrainDataset, train_loader
from lt_models import Classifier, ClassifierSpec, build_classifier
from lt_train import ModelArgs, TrainConfig
from lt_train.auto import make_plan
from lt_train.device_copies import to_device
from lt_train.learner import Learner
from lt_train.recipe import make_recipe
from lt_train.sharding import load_moments
from lt_train.sources import ImageSource, Inputs, Stream
from lt_train.state import TrainState

GPU = torch.device("cuda", 0)
MIXED = {"mixup_alpha": 0.2, "cutmix_alpha": 1.0, "ema_decay": 0.9}
VIT, CONVOLUTIONS = "timm/test_vit-notpretrained", "timm/test_resnet-notpretrained"


class NoDriver(CPUAccelerator):
    def setup_device(self, device: torch.device) -> None:
        """There is nothing to set up."""


class OnGpu(SingleDeviceStrategy):
    def module_to_device(self, module: nn.Module) -> None:
        self.module = module  # is there already

    def backward(self, tensor: torch.Tensor, module: nn.Module | None, *args: Any, **kwargs: Any) -> None:
        for parameter in self.module.parameters():
            parameter.grad = torch.zeros_like(parameter)


class Copies(TorchDispatchMode):
    """Notes whether the host waits for each copy to a device, and so for all that the device has to do before."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._device = device
        self.waits: list[bool] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default):
            source = args[-1] if func is torch.ops.aten.copy_.default else args[0]
            if source.device.type == "cpu" and result.device == self._device:
                self.waits.append(not (kwargs or {}).get("non_blocking", False))
        return result


def moved(classifier: Classifier) -> Classifier:
    """The same, on the GPU; `to` is not made for fake tensors."""
    for module in classifier.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = nn.Parameter(torch.empty_like(parameter, device=GPU))
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = torch.empty_like(buffer, device=GPU)
    return classifier


def devices_of_moments(learner: Learner) -> set[torch.device]:
    moments = learner.snapshot().moments["state"].values()
    return {tensor.device for of_parameter in moments for tensor in of_parameter.values()}


EVERYTHING_OF_IMAGES = structure(
    {
        "random_grayscale": {},
        "gaussian_blur": {},
        "channel_drop": {"num_channels_keep": 2, "weight_drop": [1.0, 1.0, 1.0]},
        "random_erasing": {},
    },
    TransformConfig,
    "",
)


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")  # by deepcopy
@pytest.mark.parametrize(
    ("name", "model", "settings", "transforms"),
    [
        ("job", CONVOLUTIONS, {}, TransformConfig()),
        ("job", VIT, {"class_weights": "balanced"}, TransformConfig()),
        ("job", VIT, {**MIXED, "loss": "focal"}, EVERYTHING_OF_IMAGES),
        ("multilabel_job", CONVOLUTIONS, {"class_weights": "balanced", **MIXED}, TransformConfig()),
        ("multilabel_job", VIT, {"class_weights": "balanced", "loss": "asymmetric"}, TransformConfig()),
    ],
)
def test_a_step_has_all_of_its_tensors_on_the_gpu_and_the_host_never_waits(
    request, monkeypatch, name, model, settings, transforms
):
    job = request.getfixturevalue(name)
    config = TrainConfig(steps=9, batch_size=4, num_workers=0, model_args=ModelArgs(**settings))
    plan, _ = make_plan(config, num_samples=len(job.data.train), world_size=1)
    recipe = make_recipe(config, job.task, job.data.train)
    dataset = TrainDataset(job.data.train, Augmentation.from_config(transforms, job.task.preprocessing), seed=0)
    batch = next(iter(train_loader(dataset, [[SampleKey(0, i) for i in range(4)]], num_workers=0)))
    monkeypatch.setattr(lt_train.sources, "train_loader", lambda *args, **loading: itertools.repeat(batch))
    classifier = build_classifier(ClassifierSpec(model=model, num_classes=3, image_size=(32, 32)))
    fabric = Fabric(strategy=OnGpu(device=GPU, accelerator=NoDriver()))
    with FakeTensorMode(allow_non_fake_inputs=True):
        learner = Learner(fabric, moved(classifier), job.task, config, plan, recipe)
        state = TrainState.fresh(GPU, None)
        source = ImageSource(fabric, dataset, recipe.mixing, 3, {})
        inputs = source.inputs(Stream(job.data.train, plan, 0, None), 0)
        learner.step(state, inputs, plan)  # tables that later steps use again come to the GPU
        with Copies(GPU) as copies:
            norm = learner.step(state, inputs, plan)
    assert copies.waits
    assert not any(copies.waits)
    assert norm.device == state.loss_sum.device == state.skipped.device == GPU
    assert devices_of_moments(learner) == {GPU}


def test_what_a_checkpoint_holds_goes_to_the_gpu_where_training_goes_on(job):
    config = TrainConfig(steps=9, batch_size=4, num_workers=0, model_args=ModelArgs(ema_decay=0.9))
    plan, _ = make_plan(config, num_samples=len(job.data.train), world_size=1)
    recipe = make_recipe(config, job.task, job.data.train)
    spec = ClassifierSpec(model=CONVOLUTIONS, num_classes=3, image_size=(32, 32))
    before = Learner(Fabric(accelerator="cpu", devices=1), build_classifier(spec), job.task, config, plan, recipe)
    labels = torch.tensor([0, 1, 2, 0])
    on_cpu = Inputs(torch.rand(4, 3, 32, 32), labels, labels)
    before.step(TrainState.fresh(torch.device("cpu"), None), iter([on_cpu]), plan)
    saved, classifier = before.snapshot(), build_classifier(spec)
    fabric = Fabric(strategy=OnGpu(device=GPU, accelerator=NoDriver()))
    with FakeTensorMode(allow_non_fake_inputs=True):
        learner = Learner(fabric, moved(classifier), job.task, config, plan, recipe)
        learner.restore(saved)
        on_gpu = Inputs(*(tensor.to(GPU) for tensor in on_cpu))
        learner.step(TrainState.fresh(GPU, None), iter([on_gpu]), plan)
    assert devices_of_moments(learner) == {GPU}


def test_moments_of_another_kind_of_device_are_used_by_the_kernels_of_this_one():
    weight = torch.nn.Parameter(torch.ones(3))
    weight.grad = torch.ones(3)
    elsewhere, here = (torch.optim.AdamW([weight], fused=fused) for fused in (None, True))
    elsewhere.step()
    load_moments(here, elsewhere.state_dict())
    assert here.param_groups[0]["fused"] is True
    here.step()
    assert here.state[weight]["step"] == 2


@pytest.mark.parametrize(("kind", "waits"), [("cuda", False), ("mps", True)])
def test_only_a_gpu_that_copies_safely_is_given_what_may_be_freed_before_it_has_read_it(kind, waits):
    device = torch.device(kind, 0)
    with FakeTensorMode(allow_non_fake_inputs=True), Copies(device) as copies:
        assert to_device(torch.zeros(3), device, torch.float64).dtype == torch.float64
        assert to_device(torch.zeros(3), device).device == device
    assert copies.waits == [waits, waits]
