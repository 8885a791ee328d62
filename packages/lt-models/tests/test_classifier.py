from __future__ import annotations

import pytest
import timm
import torch
import torchvision

import lt_models.memory
from lt_models import (
    ClassifierSpec,
    ModelConfigError,
    UnknownModelError,
    WeightsError,
    build_classifier,
    check_name,
    create_classifier,
    freeze,
    list_models,
    model_input,
    param_groups,
    parse_name,
)


def build(model: str, **changes):
    return build_classifier(ClassifierSpec(**{"model": model, "num_classes": 3, "image_size": (64, 64), **changes}))


@pytest.mark.parametrize(
    "model",
    ["test_resnet", "test_vit", "test_convnext", "test_efficientnet", "test_mambaout", "test_byobnet", "test_nfnet"],
)
def test_with_the_head_copied_over_logits_equal_timms_own(model):
    torch.manual_seed(0)
    size = model_input(f"timm/{model}").image_size
    theirs = timm.create_model(model, num_classes=7).eval()
    ours = build(f"timm/{model}-notpretrained", num_classes=7, image_size=size).eval()
    ours.backbone.load_state_dict(theirs.state_dict(), strict=False)
    ours.head.load_state_dict(theirs.get_classifier().state_dict())
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), rtol=0, atol=1e-5)


@pytest.mark.parametrize("model", ["resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5", "efficientnet_b0", "swin_t"])
def test_with_the_head_copied_over_logits_equal_torchvisions_own(model):
    torch.manual_seed(0)
    theirs = torchvision.models.get_model(model, weights=None).eval()
    ours = build(f"torchvision/{model}-notpretrained", num_classes=1000).eval()
    state = theirs.state_dict()
    ours.backbone.load_state_dict(state, strict=False)
    *_, weight, bias = state.values()
    ours.head.load_state_dict({"weight": weight, "bias": bias})
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), rtol=0, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3, 4, 5])
def test_timm_models_take_any_number_of_channels(channels):
    classifier = build("timm/test_resnet-notpretrained", num_channels=channels).eval()
    assert classifier(torch.zeros(1, channels, 64, 64)).shape == (1, 3)


@pytest.mark.parametrize("channels", [1, 4])
def test_torchvision_models_take_any_number_of_channels(channels):
    classifier = build("torchvision/resnet18-notpretrained", num_channels=channels).eval()
    assert classifier(torch.zeros(1, channels, 64, 64)).shape == (1, 3)


def test_the_one_call_builds_a_classifier_by_its_name():
    classifier = create_classifier("TIMM/test-resnet-notpretrained", 5, image_size=(64, 64), head="cosine")
    assert classifier.spec.model == "timm/test_resnet-notpretrained"
    assert classifier.eval()(torch.zeros(2, 3, 64, 64)).shape == (2, 5)


@pytest.mark.parametrize("head", ["linear", "mlp", "cosine"])
def test_every_head_learns(head):
    classifier = build("timm/test_resnet-notpretrained", head=head)
    classifier(torch.randn(2, 3, 64, 64)).sum().backward()
    assert all(parameter.grad is not None for parameter in classifier.head.parameters())


@pytest.mark.parametrize(("pooling", "width"), [("auto", 1), ("cls", 1), ("avg", 1), ("cls+avg", 2)])
def test_a_vit_is_pooled_as_asked(pooling, width):
    single = build("timm/test_vit-notpretrained").num_features
    classifier = build("timm/test_vit-notpretrained", pooling=pooling).eval()
    assert classifier.features(torch.zeros(1, 3, 64, 64)).shape == (1, width * single)


def test_a_class_token_cannot_be_had_from_a_network_without_one():
    with pytest.raises(ModelConfigError, match="no class token"):
        build("timm/test_resnet-notpretrained", pooling="cls")


@pytest.mark.parametrize("what", [None, "backbone", 1, "norms"])
def test_what_is_frozen_keeps_its_weights_and_the_head_always_learns(what):
    classifier = build("timm/test_resnet-notpretrained")
    trainable = set(freeze(classifier, what))
    assert trainable == {name for name, p in classifier.named_parameters() if p.requires_grad}
    assert {"head.weight", "head.bias"} <= trainable
    everything = {name for name, _ in classifier.named_parameters()}
    if what is None:
        assert trainable == everything
    elif what == "backbone":
        assert trainable == {"head.weight", "head.bias"}
    else:
        assert {"head.weight", "head.bias"} < trainable < everything


@pytest.mark.parametrize("model", ["timm/test_vit", "timm/test_resnet", "timm/test_convnext", "torchvision/resnet18"])
def test_layer_decay_puts_every_parameter_in_one_group_and_slows_early_layers(model):
    classifier = build(f"{model}-notpretrained")
    groups = param_groups(classifier, weight_decay=0.1, layer_decay=0.5)
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in classifier.parameters())
    scales = {id(parameter): group["lr_scale"] for group in groups for parameter in group["params"]}
    assert scales[id(classifier.head.weight)] == 1.0
    assert min(scales.values()) < 0.3
    assert scales[id(next(classifier.backbone.parameters()))] == min(scales.values())


def test_a_vit_is_built_for_the_asked_image_size():
    assert build("timm/test_vit-notpretrained", image_size=(96, 64)).eval()(torch.zeros(1, 3, 96, 64)).shape == (1, 3)


def test_features_go_through_the_head():
    classifier = build("timm/test_resnet-notpretrained").eval()
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(classifier.head(classifier.features(images)), classifier(images))


def test_names_are_parsed():
    name = parse_name("timm/resnet18.a1_in1k-notpretrained")
    assert (name.package, name.model, name.pretrained) == ("timm", "resnet18.a1_in1k", False)
    assert str(name) == "timm/resnet18.a1_in1k-notpretrained"
    assert parse_name("torchvision/resnet50").pretrained


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("timm/resnet19", "timm/resnet18"),
        ("timm/tset_resnet-notpretrained", "timm/test_resnet"),
        ("test_resnet-notpretrained", "timm/test_resnet-notpretrained"),
        ("timm/resnet18-notpretrain", "timm/resnet18-notpretrained"),
        ("timm/resnet18_no_pretrained", "timm/resnet18-notpretrained"),
        ("timm/resnet19-notpretrained", "timm/resnet18-notpretrained"),
        ("torchvision/resnet-50", "torchvision/resnet50"),
        ("resnet50", "timm/resnet50"),
        ("tim/resnet50", "timm/resnet50"),
        ("dinov2/vits15", "dinov2/vits14"),
        ("dinov3/vitt17", "dinov3/vitt16"),
        ("timm/", "timm/"),
        ("", "timm/"),
    ],
)
def test_an_unknown_model_is_answered_with_the_five_nearest(name, expected):
    with pytest.raises(UnknownModelError) as caught:
        check_name(name)
    assert len(caught.value.nearest) == 5
    assert any(near.startswith(expected) for near in caught.value.nearest)
    assert all(near in str(caught.value) for near in caught.value.nearest)


@pytest.mark.parametrize("name", ["timm/hf-hub:someone/model", "timm/local-dir:/tmp", "timm/resnet18.no_such_tag"])
def test_names_cannot_reach_beyond_the_catalogue(name):
    with pytest.raises(UnknownModelError):
        build(name)


def test_weights_that_cannot_be_fetched_are_an_error_never_random(tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTLY_TRAIN_MODEL_CACHE_DIR", str(tmp_path))
    with pytest.raises(WeightsError, match="notpretrained") as caught:
        build("timm/test_resnet")
    assert "timm/test_resnet.r160_in1k" in str(caught.value)


def test_a_model_without_published_weights_says_so():
    with pytest.raises(WeightsError, match="publishes no weights"):
        build("timm/test_vit4")


def test_torchvision_weights_come_from_the_cache_folder_and_a_wrong_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTLY_TRAIN_MODEL_CACHE_DIR", str(tmp_path))
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "resnet18-f37072fd.pth")
    with pytest.raises(WeightsError, match="resnet18-f37072fd"):
        build("torchvision/resnet18")


def test_the_input_comes_from_the_models_card():
    card = model_input("timm/test_vit")
    assert card.image_size == (160, 160)
    assert card.mean == card.std == (0.5, 0.5, 0.5)
    assert card.interpolation == "bicubic"
    assert card.resize_scale == pytest.approx(1 / 0.95)
    assert card.resize_mode == "crop"
    assert model_input("torchvision/resnet18").resize_scale == pytest.approx(256 / 224)
    assert model_input("timm/coat_lite_medium_384.in1k").resize_mode == "squash"


def test_impossible_numbers_of_classes_are_refused():
    with pytest.raises(ModelConfigError, match="num_classes"):
        build("timm/test_resnet-notpretrained", num_classes=0)


@pytest.mark.parametrize(
    "arguments",
    [
        {"checkpoint_path": "weights.pth"},
        {"pretrained_cfg_overlay": {"file": "x"}},
        {"pretrained": True},
        {"act": set()},
    ],
    ids=str,
)
def test_arguments_of_the_backbone_cannot_name_files_or_hold_objects(arguments):
    with pytest.raises(ModelConfigError, match=f"backbone_args: {next(iter(arguments))}"):
        build("timm/test_resnet-notpretrained", backbone_args=arguments)


@pytest.mark.parametrize(
    ("model", "channels_last"),
    [("timm/test_resnet", True), ("timm/test_convnext", True), ("timm/test_vit", False), ("torchvision/swin_t", False)],
)
def test_convolutional_networks_lie_channels_last_and_take_images_of_any_memory_format(model, channels_last):
    classifier = build(f"{model}-notpretrained").eval()
    convolutions = [p for p in classifier.parameters() if p.ndim == 4 and p.shape[1] > 1 and p.shape[2] > 1]
    formats = {p.is_contiguous(memory_format=torch.channels_last) for p in convolutions}
    assert formats <= {channels_last}
    assert (classifier.memory_format == torch.channels_last) == channels_last
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        given = classifier(images)
        torch.testing.assert_close(classifier(images.contiguous(memory_format=torch.channels_last)), given)


def test_on_devices_that_compute_wrongly_in_channels_last_a_network_lies_as_it_was_built(monkeypatch):
    classifier = build("timm/test_resnet-notpretrained").eval()
    images = torch.randn(2, 3, 64, 64)
    before = classifier(images)
    monkeypatch.setattr(lt_models.memory, "WITHOUT_CHANNELS_LAST", {"cpu"})  # as is Apple's GPU
    seen = []
    first = next(module for module in classifier.modules() if isinstance(module, torch.nn.Conv2d))
    first.register_forward_pre_hook(lambda _, given: seen.append(given[0].is_contiguous()))
    moved = classifier.to("cpu")
    assert all(parameter.is_contiguous() for parameter in moved.parameters())
    torch.testing.assert_close(moved(images.contiguous(memory_format=torch.channels_last)), before)
    assert seen == [True]
    monkeypatch.undo()
    assert moved.to("cpu").memory_format == torch.channels_last
    weights = [p for p in moved.backbone.parameters() if p.ndim == 4]
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)


def test_norms_biases_and_position_embeddings_are_not_decayed():
    classifier = build("timm/test_vit-notpretrained")
    decayed, spared = param_groups(classifier, weight_decay=0.1)
    names = {id(parameter): name for name, parameter in classifier.named_parameters()}
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)
    assert {names[id(p)] for p in decayed["params"]} | {names[id(p)] for p in spared["params"]} == set(names.values())
    assert "backbone.pos_embed" in {names[id(p)] for p in spared["params"]}
    assert all(p.ndim >= 2 for p in decayed["params"])
    assert "head.weight" in {names[id(p)] for p in decayed["params"]}


def test_frozen_parameters_are_in_no_group():
    classifier = build("timm/test_resnet-notpretrained")
    classifier.backbone.requires_grad_(False)
    groups = param_groups(classifier, weight_decay=0.1)
    assert sum(len(group["params"]) for group in groups) == 2


def test_lists_follow_the_pattern():
    assert "timm/resnet18" in list_models("timm/resnet1*")
    assert all(name.startswith("torchvision/") for name in list_models("torchvision/*"))
    assert list_models("nothing/*") == []
