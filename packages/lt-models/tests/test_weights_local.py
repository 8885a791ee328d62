from __future__ import annotations

import json
import logging
import math
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from safetensors.torch import load_file, save_file
from timm.layers import SwiGLUPacked, resample_abs_pos_embed
from timm.models import adapt_input_conv
from timm.models.convnext import ConvNeXt
from timm.models.eva import Eva
from timm.models.resnet import BasicBlock, Bottleneck, ResNet
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from lt_models import WeightsError, create_classifier
from lt_models.dinov3_models import TINY
from lt_models.weights.local import load_weights
from lt_models.weights.positions import resample_positions

FILES = Path(__file__).parent / "transformers_files"
FEATURES = json.loads((FILES / "features.json").read_text())

VIT = {"img_size": 16, "patch_size": 4, "embed_dim": 8, "depth": 2, "num_heads": 2, "num_classes": 0}
DINOV2 = {**VIT, "init_values": 1e-5}
DINOV3 = {**TINY, **VIT, "global_pool": "token", "mlp_ratio": 2}
STAGES = {"depths": (1, 1, 2, 1), "dims": (4, 8, 8, 8), "num_classes": 0}
BUILD = {
    "vit": lambda: VisionTransformer(**VIT),
    "dinov2": lambda: VisionTransformer(**DINOV2),
    "dinov2_gated": lambda: VisionTransformer(**DINOV2, mlp_ratio=6, mlp_layer=SwiGLUPacked, act_layer=nn.SiLU),
    "dinov2_registers": lambda: VisionTransformer(**DINOV2, reg_tokens=4, no_embed_class=True),
    "dinov3": lambda: Eva(**DINOV3),
    "dinov3_gated": lambda: Eva(**DINOV3, swiglu_mlp=True, swiglu_align_to=8),
    "dinov3_convnext": lambda: ConvNeXt(**STAGES),
    "convnext": lambda: ConvNeXt(**STAGES),
    "convnextv2": lambda: ConvNeXt(**STAGES, use_grn=True, ls_init_value=None),
    "resnet": lambda: ResNet(Bottleneck, (1, 1, 1, 1), num_classes=0, channels=(2, 4, 4, 4)),
    "resnet_basic": lambda: ResNet(BasicBlock, (1, 1, 1, 1), num_classes=0, channels=(8, 16, 16, 16)),
}


def random(module: nn.Module, seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in module.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=generator) * 0.2 + 0.01)
    return module.eval()


def saved(state: dict[str, torch.Tensor], path: Path) -> Path:
    torch.save(state, path)
    return path


@pytest.mark.parametrize("name", FEATURES)
def test_weights_of_transformers_give_the_features_that_transformers_computes(name):
    size = FEATURES[name]["size"]
    images = torch.arange(3 * size * size).reshape(1, 3, size, size).remainder(17) / 8 - 1
    module = BUILD[name]().eval()
    report = load_weights(module, FILES / f"{name}.safetensors", model="timm/x")
    assert report.layout.startswith("Hugging Face transformers")
    assert (report.missing, report.mismatched) == ((), ())
    assert all(key.startswith("head.") for key in report.unexpected)
    with torch.no_grad():
        found = module(images)[0]
    expected = torch.tensor(FEATURES[name]["features"])
    # A small feature is a difference of large ones, which processors round each in its own way.
    rounding = 1e-6 * max(10.0, expected.abs().max().item())
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=rounding)


def test_the_files_of_transformers_cover_every_layout_that_it_has():
    from lt_models.weights.layouts import LAYOUTS, has_layout

    states = [load_file(FILES / f"{name}.safetensors") for name in FEATURES]
    for layout in LAYOUTS:
        assert any(has_layout(layout, state) for state in states) == layout.name.startswith("Hugging Face"), layout.name
    for state in states:
        assert sum(has_layout(layout, state) for layout in LAYOUTS) == 1


def small_torchvision(family: str) -> tuple[nn.Module, nn.Module]:
    """A small model of torchvision and timm's of the same architecture."""
    if family == "vit":
        return torchvision.models.VisionTransformer(16, 4, 2, 2, 8, 32), VisionTransformer(
            **{**VIT, "num_classes": 1000}
        )
    if family == "convnext":
        blocks = [(4, 8, 1), (8, 8, 1), (8, 8, 2), (8, None, 1)]
        theirs = torchvision.models.ConvNeXt([torchvision.models.convnext.CNBlockConfig(*block) for block in blocks])
        return theirs, ConvNeXt(**{**STAGES, "num_classes": 1000})
    return torchvision.models.resnet18(), timm.create_model("resnet18")


@pytest.mark.parametrize("family", ["vit", "convnext", "resnet"])
def test_weights_of_torchvision_give_the_same_logits_in_timms_model(tmp_path, family):
    torch.manual_seed(0)
    given, wanted = (module.eval() for module in small_torchvision(family))
    if family == "vit":
        nn.init.normal_(given.heads.head.weight)
    report = load_weights(wanted, saved(given.state_dict(), tmp_path / "x.pth"), model=f"timm/{family}")
    assert (report.missing, report.unexpected, report.mismatched) == ((), (), ())
    images = torch.randn(1, 3, 16, 16) if family == "vit" else torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(wanted(images), given(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["vit", "convnext", "resnet"])
def test_weights_of_torchvision_go_into_torchvisions_own_model(tmp_path, family):
    given, wanted = small_torchvision(family)[0], small_torchvision(family)[0]
    path = saved(given.state_dict(), tmp_path / "x.pth")
    report = load_weights(wanted, path, model=f"torchvision/{family}")
    assert len(report.matched) == len(given.state_dict())
    assert report.layout == "the model's own"


def test_metas_original_convnext_gives_the_same_tensors_as_timms_own_conversion(tmp_path):
    from timm.models.convnext import checkpoint_filter_fn

    wanted, module = (ConvNeXt(**STAGES, use_grn=True, ls_init_value=None) for _ in range(2))
    names = {
        "stem.": "downsample_layers.0.",
        ".conv_dw.": ".dwconv.",
        ".mlp.fc": ".pwconv",
        ".mlp.grn.weight": ".grn.gamma",
        ".mlp.grn.bias": ".grn.beta",
        "head.norm.": "norm.",
        ".blocks.": ".",
    }
    state = {}
    for key, value in random(module).state_dict().items():
        for ours, theirs in names.items():
            key = key.replace(ours, theirs)
        if ".downsample." in key:
            _, stage, _, rest = key.split(".", 3)
            key = f"downsample_layers.{stage}.{rest}"
        state[key] = value[None, None, None] if ".grn." in key else value
    wanted.load_state_dict(checkpoint_filter_fn(dict(state), wanted))
    loaded = ConvNeXt(**STAGES, use_grn=True, ls_init_value=None)
    report = load_weights(loaded, saved(state, tmp_path / "x.pth"), model="timm/convnextv2")
    assert report.layout.startswith("Meta's ConvNeXt")
    assert all(torch.equal(loaded.state_dict()[key], value) for key, value in wanted.state_dict().items())


def test_our_own_exported_files_are_read_by_their_backbone(tmp_path):
    module = random(VisionTransformer(**VIT))
    state = {f"backbone.{key}": value for key, value in module.state_dict().items()}
    content = {"format": "lightly-train/model", "version": 1, "model": {**state, "head.weight": torch.zeros(3, 8)}}
    loaded = VisionTransformer(**VIT)
    report = load_weights(loaded, saved(content, tmp_path / "exported_best.pt"), model="timm/x")
    assert set(report.matched) == set(module.state_dict())
    assert report.unexpected == ()
    assert all(torch.equal(loaded.state_dict()[key], value) for key, value in module.state_dict().items())


def test_weights_of_another_precision_are_converted(tmp_path):
    module = random(VisionTransformer(**VIT))
    save_file({key: value.to(torch.bfloat16) for key, value in module.state_dict().items()}, tmp_path / "x.safetensors")
    loaded = VisionTransformer(**VIT)
    load_weights(loaded, tmp_path / "x.safetensors", model="timm/x")
    assert loaded.pos_embed.dtype == torch.float32
    torch.testing.assert_close(loaded.pos_embed, module.pos_embed, rtol=1e-2, atol=0)


def test_what_did_not_match_is_reported_and_logged(tmp_path, caplog):
    state = dict(VisionTransformer(**VIT).state_dict())
    del state["norm.bias"]
    state["norm.weight"] = torch.zeros(9)
    state["extra"] = torch.zeros(1)
    with caplog.at_level(logging.INFO, "lt_models"):
        report = load_weights(VisionTransformer(**VIT), saved(state, tmp_path / "x.pth"), model="timm/x")
    assert report.missing == ("norm.bias",)
    assert report.mismatched == ("norm.weight (file (9,), model (8,))",)
    assert report.unexpected == ("extra",)
    assert len(report.matched) == len(state) - 2
    for told in ("norm.bias", "norm.weight (file (9,), model (8,))", "extra", str(tmp_path / "x.pth")):
        assert told in caplog.text


def test_weights_of_another_architecture_are_an_error_that_names_tensors_and_layout(tmp_path):
    path = saved(timm.create_model("test_resnet", num_classes=0).state_dict(), tmp_path / "x.pth")
    module = random(VisionTransformer(**VIT))
    before = {key: value.clone() for key, value in module.state_dict().items()}
    with pytest.raises(WeightsError, match="another architecture than timm/test_vit") as caught:
        load_weights(module, path, model="timm/test_vit")
    for told in ("cls_token", "conv1.0.weight", "only 0 of its", "the model's own"):
        assert told in str(caught.value)
    assert caught.value.path == path
    assert all(torch.equal(module.state_dict()[key], value) for key, value in before.items())


def test_a_model_of_another_width_is_an_error_that_names_the_shapes(tmp_path):
    path = saved(VisionTransformer(**{**VIT, "embed_dim": 16}).state_dict(), tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=r"cls_token \(file \(1, 1, 16\), model \(1, 1, 8\)\)"):
        load_weights(VisionTransformer(**VIT), path, model="timm/x")


def test_a_file_for_exactly_half_of_the_tensors_is_taken(tmp_path):
    state = VisionTransformer(**VIT).state_dict()
    half = dict(list(state.items())[: len(state) // 2])
    report = load_weights(VisionTransformer(**VIT), saved(half, tmp_path / "x.pth"), model="timm/x")
    assert len(report.matched) == len(state) // 2
    half.popitem()
    with pytest.raises(WeightsError, match="another architecture"):
        load_weights(VisionTransformer(**VIT), saved(half, tmp_path / "x.pth"), model="timm/x")


@pytest.mark.parametrize("spoil", ["missing", "of another shape", "half"])
def test_a_classifier_refuses_a_file_from_which_tensors_would_stay_random(tmp_path, spoil):
    name = "timm/test_resnet-notpretrained"
    state = dict(create_classifier(name, 3).backbone.state_dict())
    count = sum("num_batches_tracked" not in key for key in state)
    lacks = [key for key in state if "num_batches_tracked" not in key][-1 if spoil != "half" else -(count // 2) :]
    for key in lacks:
        if spoil == "of another shape":
            state[key] = torch.zeros(5)
        else:
            del state[key]
    path = saved(state, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=rf"lacks {len(lacks)} of the {count} tensors of timm/test_resnet") as caught:
        create_classifier(name, 3, backbone_weights=path)
    for told in (str(path), lacks[0], "would stay random", "load_weights"):
        assert told in str(caught.value)
    assert caught.value.path == path


def test_a_classifier_takes_a_file_with_a_head_and_without_counts_of_batches(tmp_path):
    given = create_classifier("timm/test_resnet-notpretrained", 3)
    state = {key: value for key, value in given.state_dict().items() if "num_batches_tracked" not in key}
    path = saved(state, tmp_path / "x.pth")
    found = create_classifier("timm/test_resnet-notpretrained", 5, backbone_weights=path)
    assert all(torch.equal(found.state_dict()[key], value) for key, value in state.items() if "head" not in key)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_the_first_convolution_is_adapted_to_the_models_channels_as_timm_does(tmp_path, channels):
    given = random(VisionTransformer(**VIT))
    module = VisionTransformer(**VIT, in_chans=channels)
    report = load_weights(module, saved(given.state_dict(), tmp_path / "x.pth"), model="timm/x")
    assert (report.missing, report.mismatched) == ((), ())
    expected = adapt_input_conv(channels, given.patch_embed.proj.weight.detach())
    torch.testing.assert_close(module.patch_embed.proj.weight.detach(), expected)


def test_other_convolutions_are_not_adapted(tmp_path):
    given, module = (ConvNeXt(**{**STAGES, "dims": dims}) for dims in ((4, 8, 8, 3), (4, 8, 8, 8)))
    report = load_weights(module, saved(given.state_dict(), tmp_path / "x.pth"), model="timm/x")
    assert any(name.startswith("stages.3.downsample.1.weight (file (3, 8, 2, 2)") for name in report.mismatched)


@pytest.mark.parametrize("size", [(32, 32), (24, 40), (12, 12)])
@pytest.mark.parametrize("registers", [0, 4])
def test_positions_are_resampled_to_the_models_grid_as_timm_does(tmp_path, size, registers):
    extra = {"reg_tokens": registers, "no_embed_class": True} if registers else {}
    given = random(VisionTransformer(**VIT, **extra))
    module = VisionTransformer(**{**VIT, "img_size": size}, **extra)
    report = load_weights(module, saved(given.state_dict(), tmp_path / "x.pth"), model="timm/x")
    assert report.mismatched == ()
    grid = (size[0] // 4, size[1] // 4)
    expected = resample_abs_pos_embed(given.pos_embed, grid, num_prefix_tokens=0 if registers else 1)
    torch.testing.assert_close(module.pos_embed, expected)


def test_torchvisions_positions_are_resampled_too(tmp_path):
    given = torchvision.models.VisionTransformer(32, 8, 1, 2, 8, 16)
    module = torchvision.models.VisionTransformer(64, 8, 1, 2, 8, 16)
    report = load_weights(module, saved(given.state_dict(), tmp_path / "x.pth"), model="torchvision/x")
    assert report.mismatched == ()


def test_positions_are_resampled_to_another_grid_of_as_many_patches(tmp_path):
    given = random(VisionTransformer(**VIT))
    module = VisionTransformer(**{**VIT, "img_size": (8, 32)})
    load_weights(module, saved(given.state_dict(), tmp_path / "x.pth"), model="timm/x")
    torch.testing.assert_close(module.pos_embed, resample_abs_pos_embed(given.pos_embed, (2, 8)))
    assert module.pos_embed.shape == given.pos_embed.shape


@pytest.mark.parametrize("size", [(96, 96), (64, 128)])
def test_weights_for_a_transformer_of_torchvision_fit_any_image_size(tmp_path, size):
    given = torchvision.models.vit_b_32(weights=None)
    torch.nn.init.normal_(given.encoder.pos_embedding)
    path = saved(given.state_dict(), tmp_path / "x.pth")
    classifier = create_classifier("torchvision/vit_b_32-notpretrained", 3, image_size=size, backbone_weights=path)
    expected = resample_positions(given.encoder.pos_embedding.detach(), (size[0] // 32, size[1] // 32), prefix=1)
    torch.testing.assert_close(classifier.backbone.encoder.pos_embedding.detach(), expected)


def test_tables_of_relative_positions_are_resampled_by_timms_own_conversion(tmp_path):
    given = random(timm.create_model("swin_tiny_patch4_window7_224", depths=(1, 1, 1, 1)))
    # Older versions of timm take a file without a classifier for one of another layout.
    path = saved(given.state_dict(), tmp_path / "x.pth")
    small = {"depths": (1, 1, 1, 1), "embed_dim": 96}
    classifier = create_classifier(
        "timm/swin_tiny_patch4_window7_224-notpretrained",
        3,
        image_size=(96, 64),
        backbone_args=small,
        backbone_weights=path,
    )
    report = load_weights(classifier.backbone, path)
    assert report.mismatched == report.missing == ()


def test_a_first_convolution_that_cannot_be_adapted_is_an_error_and_does_not_stay_random(tmp_path):
    given = random(VisionTransformer(**VIT, in_chans=5))
    path = saved(given.state_dict(), tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="images of 5 channels and cannot be adapted to 3"):
        load_weights(VisionTransformer(**VIT), path)


def test_the_convolution_for_grey_images_sees_the_same_in_a_grey_image_of_three_channels(tmp_path):
    given, module = random(VisionTransformer(**VIT, in_chans=1)), VisionTransformer(**VIT)
    load_weights(module, saved(given.state_dict(), tmp_path / "x.pth"))
    grey = torch.randn(2, 1, 16, 16)
    torch.testing.assert_close(module.patch_embed(grey.expand(-1, 3, -1, -1)), given.patch_embed(grey))


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    given = random(VisionTransformer(**VIT))
    with torch.no_grad():
        given.norm.weight[0] = math.nan
    with pytest.raises(WeightsError, match=r"not finite in norm\.weight"):
        load_weights(VisionTransformer(**VIT), saved(given.state_dict(), tmp_path / "x.pth"))


def test_positions_that_form_no_square_are_left_alone():
    assert resample_positions(torch.zeros(1, 7, 8), (4, 4), prefix=1) is None
    assert resample_positions(torch.zeros(1, 1, 8), (4, 4), prefix=1) is None


@pytest.mark.parametrize("kind", ["function", "mapping"])
def test_a_map_of_ones_own_names_the_tensors(tmp_path, kind):
    given = random(VisionTransformer(**VIT))
    theirs = {f"trunk/{key}": value for key, value in given.state_dict().items()}
    path = saved({**theirs, "classifier": torch.zeros(3)}, tmp_path / "x.pth")

    def by_function(key):
        return key.removeprefix("trunk/") if key.startswith("trunk/") else None

    key_map = by_function if kind == "function" else {key: by_function(key) for key in theirs}
    module = VisionTransformer(**VIT)
    report = load_weights(module, path, model="timm/x", key_map=key_map)
    assert set(report.matched) == set(given.state_dict())
    assert all(torch.equal(module.state_dict()[key], value) for key, value in given.state_dict().items())


def test_a_map_that_gives_one_name_twice_is_refused(tmp_path):
    path = saved({"a": torch.zeros(1), "b": torch.zeros(1)}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="more than one key"):
        load_weights(VisionTransformer(**VIT), path, model="timm/x", key_map=lambda _: "norm.weight")
